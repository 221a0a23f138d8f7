// Gives memory back that only the start of the program needed.
#ifndef VMM_STARTUP_PAGES_H_
#define VMM_STARTUP_PAGES_H_

#include "absl/status/statusor.h"
#include "base/event_loop.h"

namespace vmm {

// Once, some time after the start, unmaps the program's own code and constants, and gives free heap
// back. By then the kernel has mapped most of the program, 64 KiB around each page that was
// touched, and nearly all of these pages are for reading a config and building a machine. The pages
// stay in the page cache, which all VMs share; a page that is needed again is mapped again at its
// next use (a minor fault). Breakpoints that a debugger has set by then are lost.
class StartupPages final : public base::Operation {
 public:
  // Starts the wait on `loop`: call it on the loop's thread or before the loop runs. This object
  // must outlive the loop's run.
  explicit StartupPages(base::EventLoop& loop);

 private:
  void OnComplete(int32_t result) override;
};

}  // namespace vmm

#endif  // VMM_STARTUP_PAGES_H_
