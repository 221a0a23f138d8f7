// The structures that the console device and its driver share. [VIRTIO 1.2 §5.3]
#ifndef VIRTIO_CONSOLE_CONSOLE_WIRE_H_
#define VIRTIO_CONSOLE_CONSOLE_WIRE_H_

#include <linux/virtio_console.h>

#include <cstddef>
#include <cstdint>

#include "base/endian.h"

namespace virtio {

inline constexpr uint16_t kConsoleReceiveQueue = 0;   // [VIRTIO 1.2 §5.3.2]
inline constexpr uint16_t kConsoleTransmitQueue = 1;  // [VIRTIO 1.2 §5.3.2]

// [VIRTIO 1.2 §5.3.4]
struct ConsoleConfigSpace {
  base::Le16 columns;
  base::Le16 rows;
  base::Le32 max_ports;        // valid only with MULTIPORT: 0
  base::Le32 emergency_write;  // write-only
};

static_assert(base::WireType<ConsoleConfigSpace>);
static_assert(sizeof(ConsoleConfigSpace) == sizeof(virtio_console_config));
static_assert(offsetof(ConsoleConfigSpace, columns) == offsetof(virtio_console_config, cols));
static_assert(offsetof(ConsoleConfigSpace, rows) == offsetof(virtio_console_config, rows));
static_assert(offsetof(ConsoleConfigSpace, emergency_write) ==
              offsetof(virtio_console_config, emerg_wr));

}  // namespace virtio

#endif  // VIRTIO_CONSOLE_CONSOLE_WIRE_H_
