#include "virtio/entropy/entropy_device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ids.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace virtio {
namespace {

struct Source {
  base::UniqueFd fd;
  bool seekable = false;
};

absl::StatusOr<Source> OpenSource(const std::string& path) {
  Source source;
  // O_NONBLOCK: a FIFO without a writer must not delay the start.
  source.fd.reset(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!source.fd.valid()) {
    return base::Advise(
        base::ErrnoStatus(errno, absl::StrCat("rng.src: ", path, ": cannot open for reading")),
        "name a file that this user may read, such as /dev/urandom");
  }
  struct stat info;
  if (fstat(source.fd.get(), &info) != 0) {
    return base::ErrnoStatus(errno, absl::StrCat("rng.src: ", path, ": cannot stat"));
  }
  if (S_ISDIR(info.st_mode)) {
    return base::ErrnoStatus(
        EISDIR, absl::StrCat("rng.src: ", path, ": not a source of random bytes; name a file"));
  }
  // Reads may wait for bytes, since the loop itself never waits for them.
  if (fcntl(source.fd.get(), F_SETFL, O_RDONLY) != 0) {
    return base::ErrnoStatus(errno, absl::StrCat("rng.src: ", path, ": cannot set blocking mode"));
  }
  source.seekable = S_ISREG(info.st_mode) || S_ISBLK(info.st_mode);
  return source;
}

}  // namespace

absl::StatusOr<std::unique_ptr<EntropyDevice>> EntropyDevice::Create(Options options,
                                                                     base::EventLoop& loop,
                                                                     base::GuestMemory& memory) {
  uint8_t probe;
  while (getrandom(&probe, sizeof(probe), 0) < 0) {
    if (errno != EINTR) return base::ErrnoStatus(errno, "rng: getrandom");
  }
  Source source;
  base::LoopFile file;
  if (options.source != "/dev/urandom" && options.source != "/dev/random") {
    ASSIGN_OR_RETURN(source, OpenSource(options.source));
    auto added = loop.AddFile(source.fd.get());
    if (!added.ok()) return base::Annotate(added.status(), "rng.src");
    file = *added;
  }
  return std::unique_ptr<EntropyDevice>(new EntropyDevice(
      std::move(options), loop, memory, std::move(source.fd), file, source.seekable));
}

EntropyDevice::EntropyDevice(Options options, base::EventLoop& loop, base::GuestMemory& memory,
                             base::UniqueFd source_fd, base::LoopFile source, bool seekable)
    : QueuedDevice({.id = std::move(options.id), .type = VIRTIO_ID_RNG}, loop),
      source_fd_(std::move(source_fd)),
      queue_(loop, memory, source, seekable) {
  AddQueue(queue_, kEntropyQueueSize);
}

void EntropyDevice::AddCounters(Counters& counters) const {
  counters["requests"] = queue_.requests();
  counters["bytes"] = queue_.bytes();
  counters["source_errors"] = queue_.source_errors();
}

}  // namespace virtio
