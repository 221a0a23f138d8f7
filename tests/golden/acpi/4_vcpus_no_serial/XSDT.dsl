/*
 * Intel ACPI Component Architecture
 * 
 *
 * ACPI Data Table [XSDT]
 *
 * Format: [HexOffset DecimalOffset ByteLength]  FieldName : FieldValue
 */

[000h 0000   4]                    Signature : "XSDT"    [Extended System Description Table]
[004h 0004   4]                 Table Length : 0000003C
[008h 0008   1]                     Revision : 01
[009h 0009   1]                     Checksum : 9C
[00Ah 0010   6]                       Oem ID : "VMM   "
[010h 0016   8]                 Oem Table ID : "VMM     "
[018h 0024   4]                 Oem Revision : 00000001
[01Ch 0028   4]              Asl Compiler ID : "VMM "
[020h 0032   4]        Asl Compiler Revision : 00000001

[024h 0036   8]       ACPI Table Address   0 : 00000000000E0260
[02Ch 0044   8]       ACPI Table Address   1 : 00000000000E0380
[034h 0052   8]       ACPI Table Address   2 : 00000000000E03E0

Raw Table Data: Length 60 (0x3C)

    0000: 58 53 44 54 3C 00 00 00 01 9C 56 4D 4D 20 20 20  // XSDT<.....VMM   
    0010: 56 4D 4D 20 20 20 20 20 01 00 00 00 56 4D 4D 20  // VMM     ....VMM 
    0020: 01 00 00 00 60 02 0E 00 00 00 00 00 80 03 0E 00  // ....`...........
    0030: 00 00 00 00 E0 03 0E 00 00 00 00 00              // ............
