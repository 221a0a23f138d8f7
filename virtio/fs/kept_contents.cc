#include "virtio/fs/kept_contents.h"

namespace virtio {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

// Returns whether `time` lies at least `age` before `now`. `time` comes from the host and can be
// any time; `age` is a few seconds at most.
bool IsOlder(const FileTime& time, nanoseconds now, nanoseconds age) {
  const int64_t now_seconds = std::chrono::duration_cast<seconds>(now).count();
  if (time.seconds > now_seconds) return false;
  if (time.seconds < now_seconds - 60) return true;
  return now - seconds(time.seconds) - nanoseconds(time.nanoseconds) >= age;
}

}  // namespace

KeptContents::Answer KeptContents::Open(NodeId node, const FileAttributes& attributes,
                                        bool coarse_times, nanoseconds now) {
  return OpenDirectory(node, attributes, coarse_times, now, nanoseconds::max());
}

KeptContents::Answer KeptContents::OpenDirectory(NodeId node, const FileAttributes& attributes,
                                                 bool coarse_times, nanoseconds now,
                                                 nanoseconds believed) {
  const auto found = seen_.find(static_cast<uint64_t>(node));
  if (found != seen_.end()) {
    const Seen& seen = found->second;
    // If `now` is before `when`, the clock was set back, and the times prove nothing.
    if (seen.size_bytes == attributes.size_bytes && seen.modified == attributes.modified &&
        seen.changed == attributes.changed && now >= seen.when && now - seen.when < believed) {
      return Answer::kKeepAll;
    }
    seen_.erase(found);
  }
  // ext3 and some other file systems have whole seconds only.
  const bool coarse = coarse_times || attributes.changed.nanoseconds == 0;
  if (!IsOlder(attributes.changed, now, coarse ? kCoarseTick : kTick)) return Answer::kDrop;
  if (seen_.size() >= max_files_) seen_.clear();
  seen_[static_cast<uint64_t>(node)] = {.size_bytes = attributes.size_bytes,
                                        .modified = attributes.modified,
                                        .changed = attributes.changed,
                                        .when = now};
  return Answer::kRenew;
}

}  // namespace virtio
