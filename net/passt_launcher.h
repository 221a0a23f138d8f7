// Starts passt, again and again if necessary, from a process of its own.
#ifndef NET_PASST_LAUNCHER_H_
#define NET_PASST_LAUNCHER_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace net {

// A child process that runs at most one passt at a time. The child holds the arguments and one end
// of a socket pair, and nothing else of this process; this process never starts a program itself.
// When the other end of the pair is closed, however this process ends, the child kills passt and
// ends.
class PasstLauncher {
 public:
  // Forks the launcher. Call it before anything is open that must not be kept open by another
  // process's memory mappings, such as an io_uring. `program` is searched in PATH; `arguments` are
  // given to it behind those that this class needs. `patience` is how long Launch() waits for the
  // start of the program, and then for the program to read from its socket. Errors: errno.
  static absl::StatusOr<std::unique_ptr<PasstLauncher>> Start(
      std::string program, std::vector<std::string> arguments,
      std::chrono::milliseconds patience = std::chrono::seconds(5));
  // Waits until the child has ended.
  ~PasstLauncher();
  PasstLauncher(const PasstLauncher&) = delete;
  PasstLauncher& operator=(const PasstLauncher&) = delete;

  // Ends the passt that was started before and starts a new one. Returns the socket that is
  // connected to passt, when passt has opened all its ports. Blocks for up to 2 * patience. Use it
  // on one thread at a time. Errors, with advice: NotFound if there is no such program,
  // FailedPrecondition if it ends at once, DeadlineExceeded, or errno.
  absl::StatusOr<base::UniqueFd> Launch();

 private:
  PasstLauncher(std::string program, std::chrono::milliseconds patience, pid_t child,
                base::UniqueFd control)
      : program_(std::move(program)),
        patience_(patience),
        child_(child),
        control_(std::move(control)) {}

  const std::string program_;
  const std::chrono::milliseconds patience_;
  const pid_t child_;
  base::UniqueFd control_;
  uint64_t last_request_ = 0;
};

}  // namespace net

#endif  // NET_PASST_LAUNCHER_H_
