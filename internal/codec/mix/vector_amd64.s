//go:build !purego

#include "textflag.h"

// func cpuid(leaf, sub uint32) (a, b, c, d uint32)
TEXT ·cpuid(SB), NOSPLIT, $0-24
	MOVL leaf+0(FP), AX
	MOVL sub+4(FP), CX
	CPUID
	MOVL AX, a+8(FP)
	MOVL BX, b+12(FP)
	MOVL CX, c+16(FP)
	MOVL DX, d+20(FP)
	RET

// func xgetbv() uint32
TEXT ·xgetbv(SB), NOSPLIT, $0-4
	XORL CX, CX
	XGETBV
	MOVL AX, ret+0(FP)
	RET

// Fields of lanes: val at 0, in at 48, base at 112. What Go stored one by one
// is loaded one by one: a longer load would wait for the stores.

// func predictLanesAVX2(l *lanes, counters *uint32, a, b *[numInputs]int32) (da, db int32)
TEXT ·predictLanesAVX2(SB), NOSPLIT, $0-40
	MOVQ l+0(FP), DI
	MOVQ counters+8(FP), R10
	MOVQ a+16(FP), SI
	MOVQ b+24(FP), DX
	LEAQ ·stretchTable(SB), R8
	LEAQ ·confidence(SB), R9
	VMOVDQU 112(DI), Y3
	VPCMPEQD Y4, Y4, Y4
	VPGATHERDD Y4, (R10)(Y3*4), Y0
	VMOVD 32(DI), X1
	VPINSRD $1, 36(DI), X1, X1
	VPINSRD $2, 40(DI), X1, X1
	VPINSRD $3, 44(DI), X1, X1
	VMOVD 96(DI), X13
	VPINSRD $1, 100(DI), X13, X13
	VPINSRD $2, 104(DI), X13, X13
	VPINSRD $3, 108(DI), X13, X13
	VPBROADCASTD 44(DI), Y14
	VPSRLD $10, Y14, Y14
	VPSLLD $10, Y14, Y14
	VPSLLD $22, Y0, Y7
	VPSRLD $22, Y7, Y7 // counts
	VPXOR Y15, Y15, Y15
	VPCMPEQD Y15, Y7, Y15
	VPBLENDVB Y15, Y14, Y0, Y0
	VMOVDQU Y0, (DI)
	VPSRLD $20, Y0, Y2
	VPSRLD $20, X1, X3
	VPCMPEQD Y4, Y4, Y4
	VPCMPEQD X11, X11, X11
	VPCMPEQD Y12, Y12, Y12
	VPGATHERDD Y4, (R8)(Y2*4), Y5
	VPGATHERDD X11, (R8)(X3*4), X6
	VPGATHERDD Y12, (R9)(Y7*4), Y8
	VPMULLD Y8, Y5, Y5
	VPSRAD $8, Y5, Y5
	VINSERTI128 $1, X13, Y6, Y6
	VMOVDQU Y5, 48(DI)
	VMOVDQU Y6, 80(DI)

	VMOVDQU (SI), Y9
	VMOVDQU 32(SI), Y10
	VPSRAD $6, Y9, Y9
	VPSRAD $6, Y10, Y10
	VPMULLD Y5, Y9, Y9
	VPMULLD Y6, Y10, Y10
	VPADDD Y10, Y9, Y9
	VMOVDQU (DX), Y11
	VMOVDQU 32(DX), Y12
	VPSRAD $6, Y11, Y11
	VPSRAD $6, Y12, Y12
	VPMULLD Y5, Y11, Y11
	VPMULLD Y6, Y12, Y12
	VPADDD Y12, Y11, Y11

	VPHADDD Y11, Y9, Y9 // a a b b in both halves
	VEXTRACTI128 $1, Y9, X10
	VPADDD X10, X9, X9
	VPHADDD X9, X9, X9
	VPSRAD $14, X9, X9
	VMOVD X9, AX
	VPEXTRD $1, X9, BX
	MOVL AX, da+32(FP)
	MOVL BX, db+36(FP)
	VZEROUPPER
	RET

DATA one<>+0(SB)/4, $1
DATA half<>+0(SB)/4, $128
DATA weightMax<>+0(SB)/4, $0x1fffff
DATA weightMin<>+0(SB)/4, $-0x1fffff
DATA counterMin<>+0(SB)/4, $2097
DATA counterMax<>+0(SB)/4, $4192207
DATA limits<>+0(SB)/4, $250
DATA restLimits<>+0(SB)/8, $0x0000025800000258
DATA restLimits<>+8(SB)/8, $0x000003e800000258
DATA restTables<>+0(SB)/8, $0x0000040000000400
DATA restTables<>+8(SB)/8, $0x0000000000000400
GLOBL one<>(SB), RODATA|NOPTR, $4
GLOBL half<>(SB), RODATA|NOPTR, $4
GLOBL weightMax<>(SB), RODATA|NOPTR, $4
GLOBL weightMin<>(SB), RODATA|NOPTR, $4
GLOBL counterMin<>(SB), RODATA|NOPTR, $4
GLOBL counterMax<>(SB), RODATA|NOPTR, $4
GLOBL limits<>(SB), RODATA|NOPTR, $4
GLOBL restLimits<>(SB), RODATA|NOPTR, $16
GLOBL restTables<>(SB), RODATA|NOPTR, $16

// TRAIN moves eight weights at mem: e in Y0, inputs in x, constants in Y3 to Y5.
#define TRAIN(x, mem, t) \
	VPMULLD x, Y0, t; \
	VPADDD Y3, t, t; \
	VPSRAD $8, t, t; \
	VPADDD mem, t, t; \
	VPMINSD Y4, t, t; \
	VPMAXSD Y5, t, t; \
	VMOVDQU t, mem

// PUT stores one counter, lane i of x.
#define PUT(i, at, x) \
	MOVL at(DI), AX; \
	VPEXTRD i, x, (R10)(AX*4)

// func learnLanesAVX2(l *lanes, counters *uint32, a, b *[numInputs]int32, ea, eb, target int32)
TEXT ·learnLanesAVX2(SB), NOSPLIT, $0-44
	MOVQ l+0(FP), DI
	MOVQ counters+8(FP), R10
	MOVQ a+16(FP), SI
	MOVQ b+24(FP), DX
	VPBROADCASTD half<>(SB), Y3
	VPBROADCASTD weightMax<>(SB), Y4
	VPBROADCASTD weightMin<>(SB), Y5
	VMOVDQU 48(DI), Y1
	VMOVDQU 80(DI), Y2
	MOVL ea+32(FP), AX
	VMOVD AX, X0
	VPBROADCASTD X0, Y0
	TRAIN(Y1, (SI), Y6)
	TRAIN(Y2, 32(SI), Y7)
	MOVL eb+36(FP), AX
	VMOVD AX, X0
	VPBROADCASTD X0, Y0
	TRAIN(Y1, (DX), Y6)
	TRAIN(Y2, 32(DX), Y7)

	LEAQ ·rates(SB), R8
	MOVL target+40(FP), AX
	VMOVD AX, X0
	VPBROADCASTD X0, Y0
	VPBROADCASTD one<>(SB), Y13
	VPBROADCASTD counterMin<>(SB), Y14
	VPBROADCASTD counterMax<>(SB), Y15

	VMOVDQU (DI), Y1
	VMOVD 32(DI), X2
	VPINSRD $1, 36(DI), X2, X2
	VPINSRD $2, 40(DI), X2, X2
	VPINSRD $3, 44(DI), X2, X2
	VPSLLD $22, Y1, Y3
	VPSLLD $22, X2, X4
	VPSRLD $22, Y3, Y3 // counts
	VPSRLD $22, X4, X4
	VPADDD restTables<>(SB), X4, X5
	VPCMPEQD Y6, Y6, Y6
	VPCMPEQD X7, X7, X7
	VPGATHERDD Y6, (R8)(Y3*4), Y8 // rates
	VPGATHERDD X7, (R8)(X5*4), X9
	VPSRLD $10, Y1, Y1
	VPSRLD $10, X2, X2
	VPSUBD Y1, Y0, Y10
	VPSUBD X2, X0, X11
	VPSRAD $7, Y10, Y10
	VPSRAD $7, X11, X11
	VPMULLD Y8, Y10, Y10
	VPMULLD X9, X11, X11
	VPSRAD $9, Y10, Y10
	VPSRAD $9, X11, X11
	VPADDD Y10, Y1, Y1
	VPADDD X11, X2, X2
	VPMAXSD Y14, Y1, Y1
	VPMAXSD X14, X2, X2
	VPMINSD Y15, Y1, Y1
	VPMINSD X15, X2, X2
	VPSLLD $10, Y1, Y1
	VPSLLD $10, X2, X2
	VPADDD Y13, Y3, Y3
	VPADDD X13, X4, X4
	VPBROADCASTD limits<>(SB), Y12
	VPMINUD Y12, Y3, Y3
	VPMINUD restLimits<>(SB), X4, X4
	VPOR Y3, Y1, Y1
	VPOR X4, X2, X2
	VMOVDQU X2, 32(DI)
	VEXTRACTI128 $1, Y1, X3
	PUT($0, 112, X1)
	PUT($1, 116, X1)
	PUT($2, 120, X1)
	PUT($3, 124, X1)
	PUT($0, 128, X3)
	PUT($1, 132, X3)
	PUT($2, 136, X3)
	PUT($3, 140, X3)
	VZEROUPPER
	RET

DATA clip<>+0(SB)/4, $1536
DATA clipMin<>+0(SB)/4, $-1536
DATA linearMax<>+0(SB)/4, $0x7ffff
DATA linearMin<>+0(SB)/4, $-0x7ffff
GLOBL clip<>(SB), RODATA|NOPTR, $4
GLOBL clipMin<>(SB), RODATA|NOPTR, $4
GLOBL linearMax<>(SB), RODATA|NOPTR, $4
GLOBL linearMin<>(SB), RODATA|NOPTR, $4

// UNITS brings eight features at off into units of the expected magnitude,
// into q, and adds to the dot with the weights (Y8) and the power (Y9).
#define UNITS(off, to, q, t) \
	VMOVDQU off(DI), q; \
	VPMINSD Y0, q, q; \
	VPMAXSD Y1, q, q; \
	VPSRAD X3, q, q; \
	VPMULLD Y2, q, q; \
	VPSRAD X4, q, q; \
	VPMINSD Y5, q, q; \
	VPMAXSD Y6, q, q; \
	VMOVDQU q, to(DI); \
	VMOVDQU off(DX), t; \
	VPSRAD $4, t, t; \
	VPMULLD q, t, t; \
	VPADDD t, Y8, Y8; \
	VPMULLD q, q, t; \
	VPADDD t, Y9, Y9

// func predictLinearAVX2(l *linearLanes, coefs *[numFixed]int32, w *[numFeatures]int32, d *divisor) (fixed, adapted, power int32)
TEXT ·predictLinearAVX2(SB), NOSPLIT, $0-44
	MOVQ l+0(FP), DI
	MOVQ coefs+8(FP), SI
	MOVQ w+16(FP), DX
	MOVQ d+24(FP), R8
	VPBROADCASTD (R8), Y0
	VPXOR Y1, Y1, Y1
	VPSUBD Y0, Y1, Y1
	VPBROADCASTD 4(R8), Y2
	VMOVD 8(R8), X3
	VMOVD 12(R8), X4
	VPBROADCASTD clip<>(SB), Y5
	VPBROADCASTD clipMin<>(SB), Y6
	VPXOR Y8, Y8, Y8
	VPXOR Y9, Y9, Y9
	UNITS(0, 128, Y10, Y14)
	UNITS(32, 160, Y11, Y15)
	UNITS(64, 192, Y12, Y14)
	UNITS(96, 224, Y13, Y15)
	VPMULLD (SI), Y10, Y10
	VPMULLD 32(SI), Y11, Y11
	VPADDD Y11, Y10, Y10
	VPHADDD Y8, Y10, Y10 // fixed fixed adapted adapted
	VPHADDD Y9, Y9, Y9
	VPHADDD Y9, Y10, Y10 // fixed adapted power power
	VEXTRACTI128 $1, Y10, X11
	VPADDD X11, X10, X10
	VMOVD X10, AX
	VPEXTRD $1, X10, BX
	VPEXTRD $2, X10, CX
	MOVL AX, fixed+32(FP)
	MOVL BX, adapted+36(FP)
	MOVL CX, power+40(FP)
	VZEROUPPER
	RET

// func learnLinearAVX2(l *linearLanes, w *[numFeatures]int32, e int32)
TEXT ·learnLinearAVX2(SB), NOSPLIT, $0-20
	MOVQ l+0(FP), DI
	MOVQ w+8(FP), DX
	MOVL e+16(FP), AX
	VMOVD AX, X0
	VPBROADCASTD X0, Y0
	VPBROADCASTD half<>(SB), Y3
	VPBROADCASTD linearMax<>(SB), Y4
	VPBROADCASTD linearMin<>(SB), Y5
	VMOVDQU 128(DI), Y1
	VMOVDQU 160(DI), Y2
	TRAIN(Y1, (DX), Y6)
	TRAIN(Y2, 32(DX), Y7)
	VMOVDQU 192(DI), Y1
	VMOVDQU 224(DI), Y2
	TRAIN(Y1, 64(DX), Y6)
	TRAIN(Y2, 96(DX), Y7)
	VZEROUPPER
	RET
