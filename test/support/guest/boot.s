# A guest of one sector: no operating system, only a processor that keeps dirtying memory.
#
# After a few milliseconds in real mode it runs in 32-bit mode with identity-mapped 4 MiB pages (nested KVM
# emulates unpaged code instruction by instruction, a hundred times slower). Then it goes round for ever:
#
#   every page from START to END:  dword at the page's start = the page's address + the round's number
#   dword at 0x600                 = rounds finished
#   '.' to COM1                    after each round ('B' once, at the start)
#   DELAY iterations of nothing
#
# A page tells its own address and the round that wrote it in one store, so whoever reads the memory, on
# either side of a migration, can tell a lost, stale or misplaced page. START and END stand at 0x604 and
# 0x608, so that a reader need not know the variant.
#
# Symbols given on the assembler's command line: START, END, DELAY.

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

    mov edi, 0x1000             # page directory: 1024 entries of 4 MiB, each mapped to itself
    mov eax, 0x83               # present, writable, large
fill:
    mov [edi], eax
    add edi, 4
    add eax, 0x400000
    cmp edi, 0x2000
    jb fill
    mov eax, cr4
    or eax, 0x10                # PSE
    mov cr4, eax
    mov eax, 0x1000
    mov cr3, eax
    mov eax, cr0
    or eax, 0x80000000          # PG
    mov cr0, eax
    jmp paged
paged:

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
