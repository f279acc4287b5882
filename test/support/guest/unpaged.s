# The guest of boot.s without paging, for a KVM that does not get through the switch to it (some nested ones):
# there each instruction is emulated, slowly, and runs. What it leaves in memory is the same.

.intel_syntax noprefix
.code16
.globl _start
_start:
    cli
    xor ax, ax
    mov ds, ax
    mov ss, ax
    mov sp, 0x7c00
    in al, 0x92                 # the A20 line, the fast way
    or al, 2
    and al, 0xfe
    out 0x92, al
    lgdt [gdtr]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    ljmp 8, offset protected

.code32
protected:
    mov ax, 16
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov esp, 0x7c00

    mov dword ptr [0x600], 0
    mov dword ptr [0x604], START
    mov dword ptr [0x608], END
    mov dx, 0x3f8
    mov al, 'B'
    out dx, al
    mov ebx, 1                  # the round's number
round:
    mov edi, START
page:
    lea eax, [edi + ebx]
    mov [edi], eax
    add edi, 4096
    cmp edi, END
    jb page
    mov [0x600], ebx
    mov al, '.'
    out dx, al
    inc ebx
    mov ecx, DELAY
idle:
    dec ecx
    jnz idle
    jmp round

.balign 8
gdt:
    .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
gdtr:
    .word 23
    .long gdt

.org 510
    .word 0xaa55
