// Runs a short function on another loop and waits for its end.
#ifndef VMM_MACHINE_RUN_ON_LOOP_H_
#define VMM_MACHINE_RUN_ON_LOOP_H_

#include <utility>

#include "base/event_loop.h"
#include "base/mutex.h"

namespace vmm {

// Runs `function` on `loop` and returns when it has ended. Before the loop runs, this is a plain
// call. Use it to create or destroy an object that belongs to an I/O loop. Call it on the control
// thread only, never on a vCPU, and never with a function that waits for I/O.
template <typename F>
void RunOnLoop(base::EventLoop& loop, F&& function) {
  if (loop.OnLoopThread()) return std::forward<F>(function)();
  struct {
    base::Mutex mutex;
    base::CondVar changed;
    bool done ABSL_GUARDED_BY(mutex) = false;
  } end;
  loop.Post([&] {
    function();
    base::MutexLock lock(end.mutex);
    end.done = true;
    end.changed.NotifyOne();
  });
  base::MutexLock lock(end.mutex);
  while (!end.done) end.changed.Wait(end.mutex);
}

}  // namespace vmm

#endif  // VMM_MACHINE_RUN_ON_LOOP_H_
