// Runs something short on another loop and waits for it.
#ifndef VMM_MACHINE_RUN_ON_LOOP_H_
#define VMM_MACHINE_RUN_ON_LOOP_H_

#include <utility>

#include "base/event_loop.h"
#include "base/mutex.h"

namespace vmm {

// For building and taking apart what lives on an I/O loop: control thread only, never a vCPU, and
// never for anything that waits for I/O. Before the loop runs it is a plain call.
template <typename F>
void RunOnLoop(base::EventLoop& loop, F&& function) {
  if (loop.OnLoopThread()) return std::forward<F>(function)();
  base::Mutex mutex;
  base::CondVar changed;
  bool done = false;
  loop.Post([&] {
    function();
    base::MutexLock lock(mutex);
    done = true;
    changed.NotifyOne();
  });
  base::MutexLock lock(mutex);
  while (!done) changed.Wait(mutex);
}

}  // namespace vmm

#endif  // VMM_MACHINE_RUN_ON_LOOP_H_
