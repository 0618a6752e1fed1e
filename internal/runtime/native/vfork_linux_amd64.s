#include "textflag.h"

// func rawVfork(flags uintptr, pidfd *int32) uintptr
//
// The child runs on this very stack until it executes a program, so the return
// address waits in a register, which the kernel keeps for both.
TEXT ·rawVfork(SB), NOSPLIT|NOFRAME, $0-24
	MOVQ	flags+0(FP), DI
	XORL	SI, SI
	MOVQ	pidfd+8(FP), DX
	XORL	R10, R10
	XORL	R8, R8
	XORL	R9, R9
	MOVQ	$56, AX // SYS_CLONE
	POPQ	R12
	SYSCALL
	PUSHQ	R12
	MOVQ	AX, ret+16(FP)
	RET
