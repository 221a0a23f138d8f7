// Corrects <linux/kvm.h> for C++. Always include this file instead of that header.
//
// The 6.1 headers declare trailing arrays after an empty struct, which has size 0 in C and 1 in
// C++. In C++, sizes and offsets, and with them the ioctl numbers, would be wrong. Later headers
// have a C++ branch that does the same as this file.
#ifndef VMM_KVM_KVM_UAPI_H_
#define VMM_KVM_KVM_UAPI_H_

#include <linux/stddef.h>
#undef __DECLARE_FLEX_ARRAY
// NOLINTNEXTLINE(bugprone-reserved-identifier): the header's own name
#define __DECLARE_FLEX_ARRAY(type, name) type name[0]
#include <linux/kvm.h>

static_assert(sizeof(kvm_cpuid2) == 8 && sizeof(kvm_msrs) == 8 && sizeof(kvm_irq_routing) == 8);

#endif  // VMM_KVM_KVM_UAPI_H_
