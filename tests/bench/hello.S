# A guest of a few instructions: 21 bytes to COM1, then power-off. Entered by PVH in 32-bit protected mode.
# as --64 hello.S -o hello.o && ld -N -Ttext=0x100000 -e start hello.o -o hello.elf

    .section .note.pvh, "a", @note
    .long 4, 4, 18      # name size, descriptor size, XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long start

    .text
    .code32
    .globl start
start:
    mov $0x3f8, %edx
    mov $20, %ecx
    mov $'H', %al
1:  outb %al, %dx
    loop 1b
    mov $'\n', %al
    outb %al, %dx
    mov $0x600, %edx    # sleep control register
    mov $0x34, %al      # S5, sleep enable
    outb %al, %dx
2:  hlt
    jmp 2b
