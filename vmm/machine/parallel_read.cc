#include "vmm/machine/parallel_read.h"

#include <errno.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "base/status.h"
#include "base/thread.h"

namespace vmm {
namespace {

// Chunks end where huge pages end. So two threads never fill the same huge page, and never wait for
// each other's page fault.
constexpr uintptr_t kHugePageBytes = 2 << 20;
// A thread with fewer chunks costs more time than it saves.
constexpr size_t kChunksPerThread = 2;

absl::Status ReadAll(const FileRead& read) {
  size_t done = 0;
  while (done < read.to.size()) {
    const ssize_t n = pread(read.fd, read.to.data() + done, read.to.size() - done,
                            static_cast<off_t>(read.offset_bytes + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return base::ErrnoStatus(errno, absl::StrCat(read.name, ": cannot read"));
    if (n == 0) {
      return absl::DataLossError(
          absl::StrCat(read.name, ": the file became shorter while it was read"));
    }
    done += static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

std::vector<FileRead> Cut(std::span<const FileRead> reads) {
  std::vector<FileRead> chunks;
  for (FileRead rest : reads) {
    while (!rest.to.empty()) {
      const size_t to_boundary =
          kHugePageBytes - reinterpret_cast<uintptr_t>(rest.to.data()) % kHugePageBytes;
      const size_t bytes = std::min(rest.to.size(), to_boundary);
      chunks.push_back({rest.fd, rest.offset_bytes, rest.to.first(bytes), rest.name});
      rest.offset_bytes += bytes;
      rest.to = rest.to.subspan(bytes);
    }
  }
  return chunks;
}

size_t CpuCount() {
  cpu_set_t cpus;
  return sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? static_cast<size_t>(CPU_COUNT(&cpus)) : 1;
}

// The state that the threads share.
class Reader {
 public:
  explicit Reader(std::vector<FileRead> chunks) : chunks_(std::move(chunks)) {}

  void Work() {
    for (;;) {
      const size_t index = next_.fetch_add(1, std::memory_order_relaxed);
      if (index >= chunks_.size()) return;
      const absl::Status status = ReadAll(chunks_[index]);
      if (status.ok()) continue;
      next_ = chunks_.size();
      base::MutexLock lock(mutex_);
      status_.Update(status);
      return;
    }
  }

  absl::Status status() {
    base::MutexLock lock(mutex_);
    return status_;
  }

 private:
  const std::vector<FileRead> chunks_;
  std::atomic<size_t> next_ = 0;
  base::Mutex mutex_;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::Status ReadInParallel(std::span<const FileRead> reads, unsigned max_threads) {
  std::vector<FileRead> chunks = Cut(reads);
  const size_t thread_count =
      std::min({chunks.size() / kChunksPerThread, size_t{max_threads}, CpuCount()});
  Reader reader(std::move(chunks));
  std::vector<std::thread> threads;
  while (threads.size() + 1 < thread_count) {
    auto thread = base::StartThread("load", [&reader] { reader.Work(); });
    if (!thread.ok()) break;  // reading with fewer threads only takes longer
    threads.push_back(*std::move(thread));
  }
  reader.Work();
  for (std::thread& thread : threads) thread.join();
  return reader.status();
}

}  // namespace vmm
