#include "textflag.h"

// func rawVfork(flags uintptr, pidfd *int32) uintptr
//
// The child runs on this very stack until it executes a program; the return
// address is in the link register, which the kernel keeps for both.
TEXT ·rawVfork(SB), NOSPLIT|NOFRAME, $0-24
	MOVD	flags+0(FP), R0
	MOVD	ZR, R1
	MOVD	pidfd+8(FP), R2
	MOVD	ZR, R3
	MOVD	ZR, R4
	MOVD	$220, R8 // SYS_CLONE
	SVC
	MOVD	R0, ret+16(FP)
	RET
