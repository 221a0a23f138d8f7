// A place for buffers that the kernel may still use after their owner is destroyed.
#ifndef DEVICES_CHARACTER_RETAIN_UNTIL_EXIT_H_
#define DEVICES_CHARACTER_RETAIN_UNTIL_EXIT_H_

#include <memory>
#include <utility>
#include <vector>

namespace devices {

// Keeps `buffer` allocated until the process ends, in a way that a leak checker accepts. For
// destructors that find an operation in flight on a loop that has stopped: if the memory were used
// again, the kernel would write into it, or write out what it then holds. Main thread.
inline void RetainUntilExit(std::shared_ptr<void> buffer) {
  static auto* const kept = new std::vector<std::shared_ptr<void>>();
  kept->push_back(std::move(buffer));
}

}  // namespace devices

#endif  // DEVICES_CHARACTER_RETAIN_UNTIL_EXIT_H_
