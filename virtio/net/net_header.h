// Checks the header that a driver puts before a frame that it transmits.
#ifndef VIRTIO_NET_NET_HEADER_H_
#define VIRTIO_NET_NET_HEADER_H_

#include <cstdint>

#include "virtio/net/net_wire.h"

namespace virtio {

// Why a frame was not sent.
enum class NetHeaderError : uint8_t {
  kNone,
  kTooShort,         // shorter than an Ethernet header
  kTooLong,          // longer than net::kMaxFrameBytes
  kNotNegotiated,    // a checksum or a type of GSO that is undefined or not accepted
  kChecksumOutside,  // the checksum lies outside the frame
  kBadSegmentation,  // GSO without a size or without a checksum to complete
};

// Checks `header` before a frame of `frame_bytes` bytes against the accepted `features`, and makes
// it safe: an excessive header_length, which is only a hint, is cut to the frame. GUEST: the header
// is a copy, which the guest cannot change any more. Pure and total. [VIRTIO 1.2 §5.1.6.2]
NetHeaderError CheckNetHeader(NetHeader& header, uint32_t frame_bytes, uint64_t features);

// Returns whether a driver that has accepted `features` can take a received frame with `header`:
// the host still has frames that it made for the features of an earlier driver. Removes hints that
// such a driver does not expect. [VIRTIO 1.2 §5.1.6.4.1]
bool PrepareNetHeader(NetHeader& header, uint64_t features);

}  // namespace virtio

#endif  // VIRTIO_NET_NET_HEADER_H_
