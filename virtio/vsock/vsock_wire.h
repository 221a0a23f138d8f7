// The structures that a socket device and its driver exchange. [VIRTIO 1.2 §5.10.4, §5.10.6]
#ifndef VIRTIO_VSOCK_VSOCK_WIRE_H_
#define VIRTIO_VSOCK_VSOCK_WIRE_H_

#include <linux/virtio_vsock.h>

#include <cstddef>
#include <cstdint>

#include "base/endian.h"

namespace virtio {

// The address of the host, whatever the addresses of its guests are. [VIRTIO 1.2 §5.10.4]
inline constexpr uint64_t kHostCid = 2;
// 0, 1, and this address are reserved, and so is all above. [VIRTIO 1.2 §5.10.4]
inline constexpr uint64_t kReservedCid = 0xffff'ffff;

struct VsockConfigSpace {
  base::Le64 guest_cid;
};
static_assert(base::WireType<VsockConfigSpace>);
static_assert(sizeof(VsockConfigSpace) == sizeof(virtio_vsock_config));

// What precedes the data of every packet in both directions.
struct VsockHeader {
  base::Le64 source_cid;
  base::Le64 destination_cid;
  base::Le32 source_port;
  base::Le32 destination_port;
  base::Le32 length;     // of the data, in bytes
  base::Le16 type;       // VIRTIO_VSOCK_TYPE_*
  base::Le16 operation;  // VIRTIO_VSOCK_OP_*
  base::Le32 flags;      // VIRTIO_VSOCK_SHUTDOWN_* in a shutdown, else 0
  // The sender's credit: how many bytes its buffer holds, and how many it has passed on since the
  // connection began, modulo 2^32.
  base::Le32 buffer_bytes;
  base::Le32 forwarded;
};
static_assert(base::WireType<VsockHeader> && sizeof(VsockHeader) == sizeof(virtio_vsock_hdr));
static_assert(offsetof(VsockHeader, length) == offsetof(virtio_vsock_hdr, len));
static_assert(offsetof(VsockHeader, operation) == offsetof(virtio_vsock_hdr, op));
static_assert(offsetof(VsockHeader, buffer_bytes) == offsetof(virtio_vsock_hdr, buf_alloc));

}  // namespace virtio

#endif  // VIRTIO_VSOCK_VSOCK_WIRE_H_
