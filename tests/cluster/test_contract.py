"""kv on etcd keeps what kv on disk promises: the tests are the same ones."""

from collections.abc import Iterator

import pytest

from clients.addresses import Address
from tests.contract.test_kv import (  # noqa: F401 - they are collected here
    store,
    test_a_client_without_nil_has_a_path_of_its_own,
    test_a_document_sets_its_value_or_has_its_fault,
    test_a_missing_name_counts_as_nil,
    test_a_request_that_is_no_call_has_a_status_of_http,
    test_a_web_page_cannot_write,
    test_any_text_is_a_name,
    test_builtin_types_can_be_had_of_every_value,
    test_calls_are_served_while_clients_are_idle,
    test_compare_and_set_goes_by_the_form_in_xml,
    test_each_fault_has_its_code_and_its_text,
    test_every_type_comes_back_as_it_was,
    test_its_health_does_not_depend_on_what_is_stored,
    test_names_are_in_the_order_in_which_they_were_first_set,
    test_the_health_check_passes,
    test_the_librarys_multicall_is_one_request,
    test_the_order_of_members_matters_to_the_stock_server_alone,
    test_the_transcript_of_the_recipe_comes_out_as_printed,
    test_what_the_client_checks_holds,
    test_what_would_not_come_back_is_refused_and_nothing_written,
)
from tests.support.drivers import DRIVERS, Driver, serving
from tests.support.processes import Server


@pytest.fixture(scope="module")
def driver() -> Driver:
    """Name the driver."""
    return DRIVERS["kv"][0]


@pytest.fixture(scope="module")
def server(driver: Driver, etcd: Address) -> Iterator[Server]:
    """Run a server on etcd."""
    with serving(driver, WIRELAB_KV_ETCD=str(etcd)) as server:
        yield server


@pytest.fixture
def address(server: Server) -> Address:
    """Return where it is."""
    return server.address
