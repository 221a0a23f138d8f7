// What the servers of all protocols have in common: answers, files for the loop, device numbers.
#ifndef VIRTIO_SHARE_SHARE_SERVER_H_
#define VIRTIO_SHARE_SHARE_SERVER_H_

#include <cstdint>
#include <span>

#include "base/event_loop.h"
#include "virtio/host_tree/host_error.h"
#include "virtio/host_tree/host_file.h"
#include "virtio/host_tree/read_file_cache.h"

namespace virtio {

struct ShareReply {
  HostError error = {};                   // if not 0, there is no payload
  std::span<const uint8_t> payload = {};  // valid until the next call of the server
};

// A file that the loop reads, changes or flushes for a request.
struct FileTransfer {
  base::LoopFile file;
  ReadFileCache::CachedFile* cached = nullptr;  // where `file` comes from, if it is from a cache
  bool append = false;  // writes go to the end of the file, wherever the end is by then
  // What a flush covers; for a change, what must be on the disk before the guest gets the answer.
  FileSync sync = FileSync::kNone;
};

// The numbers of a device file as FUSE and 9P2000.L send them: bits 8 to 19 are the major number,
// the others the minor number. [Linux: include/linux/kdev_t.h, new_encode_dev, new_decode_dev]
inline uint32_t EncodeDevice(uint32_t major, uint32_t minor) {
  return (minor & 0xff) | (major << 8) | ((minor & ~uint32_t{0xff}) << 12);
}
inline uint32_t MajorOf(uint32_t device) { return (device & 0xfff00) >> 8; }
inline uint32_t MinorOf(uint32_t device) { return (device & 0xff) | ((device >> 12) & 0xfff00); }

}  // namespace virtio

#endif  // VIRTIO_SHARE_SHARE_SERVER_H_
