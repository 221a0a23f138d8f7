// Gives back what only the start of the program needed.
#ifndef VMM_STARTUP_PAGES_H_
#define VMM_STARTUP_PAGES_H_

#include <memory>

#include "absl/status/statusor.h"
#include "base/event_loop.h"

namespace vmm {

// Unmaps the program's own code and constants, and free heap, once, some time after the start. The
// kernel has by then mapped most of the program, 64 KiB around each page that was touched, and all
// but a few of these pages are for reading a config and building a machine. They stay in the page
// cache, shared by all VMs; what is needed again is mapped again at its next use (a minor fault).
// Breakpoints that a debugger has set by then go with them.
class StartupPages final : public base::Operation {
 public:
  // Starts the wait on `loop`, from its thread or before it runs. Outlives the loop's run.
  explicit StartupPages(base::EventLoop& loop);

 private:
  void OnComplete(int32_t result) override;
};

}  // namespace vmm

#endif  // VMM_STARTUP_PAGES_H_
