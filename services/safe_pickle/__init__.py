"""Plain data out of a pickle, without running what the pickle asks for.

A pickle is not a description of a value. It is a program for a small stack machine, and
`pickle.loads` is the machine that runs it. Most opcodes push a number or a text, or make a list
or a dict of what is on the stack. But two of them are all that an attacker needs: GLOBAL imports
a module and pushes any name in it, and REDUCE calls what is on the stack. This is a valid pickle
of 24 bytes:

    GLOBAL            os system     push the function os.system
    SHORT_BINUNICODE  rm -rf ~      push a text
    TUPLE1                          make a tuple of it: the arguments
    REDUCE                          call the function
    STOP

When `pickle.loads` returns, the command has run: to check the result, or its type, is too late.
An authentication key does not help either. It says who may connect, and not what they may run.

So what a peer sends is given to the decoder of this package, which imports nothing and calls
nothing that a pickle names. All that it can build is plain data: None, bool, int, float, complex,
str, bytes, bytearray, list, tuple, dict, OrderedDict, set, frozenset, the types of datetime,
Decimal and UUID, nested at will. Where Python writes these as a name and arguments, the name is
looked up in a list, and a function of this package makes the value.

- `opcodes`: the part of the language that builds plain data
- `decoder`: the stack machine that runs it, at once or in steps
- `plain_types`: the list of names, and what each stands for
- `call_budget`: what the values that are made of arguments may cost
- `key_budget`: what hashing and comparing keys may cost
- `encoder`: the other direction

Harmless opcodes can still do harm in large numbers, so everything is limited:

- Memory: an empty set is one byte on the wire and 216 in memory. Opcodes and containers are
  counted, and what is copied.
- Lengths: a text that claims to have 2**62 bytes is an error before any memory is taken for it.
- The memo: Python's machine allocates as much as the index of a PUT says. Here the index must be
  the next one.
- Time: a dict key of 160 bytes can take hours to hash (`key_budget` says how), and so can a
  Decimal that is added to an integer (`call_budget`).
"""

from services.safe_pickle.decoder import Decoder, loads, loads_in_steps
from services.safe_pickle.encoder import dumps
from services.safe_pickle.errors import UnpicklingError

__all__ = ["Decoder", "UnpicklingError", "dumps", "loads", "loads_in_steps"]
