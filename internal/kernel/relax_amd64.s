//go:build !purego

#include "textflag.h"

// func relax(turns int64)
TEXT ·relax(SB), NOSPLIT, $0-8
	MOVQ turns+0(FP), AX

again:
	PAUSE
	DECQ AX
	JNZ  again
	RET
