// Package pickle reads Python pickles as data. It never runs code.
//
// A pickle is a program for a small machine with a stack, a memo, and some
// eighty opcodes of one byte each. This one is {"a": 7}:
//
//	80 02              PROTO 2        written by protocol 2
//	7d                 EMPTY_DICT     push {}            stack: {}
//	71 00              BINPUT 0       memo[0] = top      stack: {}
//	58 01 00 00 00 61  BINUNICODE a   push "a"           stack: {} "a"
//	4b 07              BININT1 7      push 7             stack: {} "a" 7
//	73                 SETITEM        pop both, set      stack: {"a": 7}
//	2e                 STOP           the answer is the top
//
// Python's own reader is dangerous because of two more opcodes: GLOBAL pushes
// any function or class by name, and REDUCE calls it. Here a name is nothing
// but a name until a [Host] gives it a meaning, and the host answers with
// data. What a host does not know ends the reading with an [Error].
//
// [Read] knows the binary opcodes of the protocols 2 to 5. The text opcodes of
// protocol 0, the extension registry and out-of-band buffers are refused by
// name. Hostile pickles can make a reader work without end; the limits below
// bound the number of steps and the memory, and every length is compared with
// the bytes that remain.
package pickle
