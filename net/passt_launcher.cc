#include "net/passt_launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace net {
namespace {

// The launcher's end of the control socket, and passt's end of its connection.
constexpr int kSocketFd = 3;

// --- In the launcher -----------------------------------------------------------------------------
//
// The launcher is the child of a process that may have threads, so it calls only functions that are
// async-signal-safe, and allocates nothing.

// The answer to a request; a descriptor comes with it if `error` is 0.
struct LaunchAnswer {
  uint64_t request;  // the number of the request
  int error;         // an errno
};

void Answer(uint64_t request, int error, int fd) {
  LaunchAnswer answer = {request, error};
  iovec data = {&answer, sizeof(answer)};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control = {};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (error == 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof(fd));
  }
  sendmsg(kSocketFd, &message, MSG_NOSIGNAL);
}

[[noreturn]] void RunProgram(int socket, int report, pid_t launcher, const char* program,
                             char* const arguments[]) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != launcher) _exit(1);
  if (dup2(socket, kSocketFd) == kSocketFd) execvp(program, arguments);
  const int error = errno;
  [[maybe_unused]] const ssize_t ignored = write(report, &error, sizeof(error));
  _exit(1);
}

// Starts the program, and answers. Returns its process id, or -1.
pid_t StartProgram(uint64_t request, const char* program, char* const arguments[]) {
  int sockets[2];
  int report[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
    Answer(request, errno, -1);
    return -1;
  }
  if (pipe2(report, O_CLOEXEC) != 0) {
    Answer(request, errno, -1);
    close(sockets[0]);
    close(sockets[1]);
    return -1;
  }
  const pid_t launcher = getpid();
  pid_t child = fork();
  int error = errno;
  if (child == 0) RunProgram(sockets[1], report[1], launcher, program, arguments);
  close(sockets[1]);
  close(report[1]);
  // The pipe is closed by the execution of the program, or has the reason why there is none.
  if (child > 0 && read(report[0], &error, sizeof(error)) != sizeof(error)) error = 0;
  close(report[0]);
  Answer(request, error, sockets[0]);
  close(sockets[0]);
  return child;
}

void EndProgram(pid_t child) {
  if (child <= 0) return;
  kill(child, SIGKILL);
  while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
}

[[noreturn]] void RunLauncher(int control, const char* program, char* const arguments[]) {
  // Ctrl-C at vmm's terminal is a power button for the guest, which needs its network meanwhile.
  setsid();
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  const int null = open("/dev/null", O_RDWR);
  if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0) _exit(1);
  if (control != kSocketFd && dup2(control, kSocketFd) < 0) _exit(1);
  // LINUX: dup2 to the same number keeps the flag, so set it in any case.
  fcntl(kSocketFd, F_SETFD, FD_CLOEXEC);
  if (close_range(kSocketFd + 1, ~0u, 0) != 0) _exit(1);
  pid_t child = -1;
  for (;;) {
    uint64_t request;
    const ssize_t n = recv(kSocketFd, &request, sizeof(request), 0);
    if (n < 0 && errno == EINTR) continue;
    EndProgram(child);
    if (n <= 0) _exit(0);
    child = StartProgram(request, program, arguments);
  }
}

// --- In this process -----------------------------------------------------------------------------

// Receives one answer. `answer` is set if the result is OK.
absl::StatusOr<base::UniqueFd> ReceiveOne(int control, const std::string& program,
                                          LaunchAnswer& answer) {
  iovec data = {&answer, sizeof(answer)};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> buffer = {};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = buffer.data();
  message.msg_controllen = buffer.size();
  const ssize_t n = recvmsg(control, &message, MSG_CMSG_CLOEXEC);
  if (n < 0) return base::ErrnoStatus(errno, absl::StrCat(program, ": its launcher is silent"));
  base::UniqueFd fd;
  if (const cmsghdr* header = CMSG_FIRSTHDR(&message);
      header != nullptr && header->cmsg_type == SCM_RIGHTS) {
    int number;
    std::memcpy(&number, CMSG_DATA(header), sizeof(number));
    fd.reset(number);
  }
  if (n != sizeof(answer)) {
    return absl::UnavailableError(absl::StrCat(program, ": its launcher has ended"));
  }
  return fd;
}

// Receives the answer to a request, and drops answers to earlier requests, which came too late.
absl::StatusOr<base::UniqueFd> ReceiveAnswer(int control, const std::string& program,
                                             uint64_t request) {
  LaunchAnswer answer = {};
  base::UniqueFd fd;
  do {
    ASSIGN_OR_RETURN(fd, ReceiveOne(control, program, answer));
  } while (answer.request != request);
  if (answer.error != 0) {
    const absl::Status status =
        base::ErrnoStatus(answer.error, absl::StrCat(program, ": cannot start"));
    return answer.error == ENOENT ? base::Advise(status, "install it") : status;
  }
  if (!fd.valid()) return absl::ResourceExhaustedError(absl::StrCat(program, ": no descriptor"));
  return fd;
}

// Waits until passt reads. passt does so when it has opened its ports, and says so in no other way.
absl::Status WaitUntilItReads(int socket, const std::string& program,
                              std::chrono::milliseconds patience) {
  // A frame that passt drops: its type is for experiments. [IEEE 802-2014 §9.2.4]
  std::array<uint8_t, 4 + 60> frame = {0,    0, 0, 60, 0xff, 0xff, 0xff, 0xff, 0xff,
                                       0xff, 2, 0, 0,  0,    0,    0,    0x88, 0xb5};
  const auto deadline = std::chrono::steady_clock::now() + patience;
  bool sent = send(socket, frame.data(), frame.size(), MSG_NOSIGNAL) == ssize_t{frame.size()};
  while (std::chrono::steady_clock::now() < deadline) {
    int unread = 0;
    const bool read = sent && ioctl(socket, SIOCOUTQ, &unread) == 0 && unread == 0;
    // What a program that has ended did not read counts as read, so look for its end afterwards.
    pollfd end = {.fd = socket, .events = 0, .revents = 0};
    if (poll(&end, 1, read ? 0 : 1) > 0 || !sent) {
      return absl::FailedPreconditionError(
          absl::StrCat(program,
                       ": ended at once; see its messages, and check its version: the oldest that "
                       "works is Debian 12's, of March 2023"));
    }
    if (read) return absl::OkStatus();
  }
  return absl::DeadlineExceededError(
      absl::StrCat(program, ": does not read from its socket after ", patience.count(), " ms"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<PasstLauncher>> PasstLauncher::Start(
    std::string program, std::vector<std::string> arguments, std::chrono::milliseconds patience) {
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
    return base::ErrnoStatus(errno, absl::StrCat(program, ": cannot make a socket pair"));
  }
  base::UniqueFd own(sockets[0]);
  base::UniqueFd launchers(sockets[1]);
  const timeval timeout = {.tv_sec = patience.count() / 1000,
                           .tv_usec = patience.count() % 1000 * 1000};
  setsockopt(own.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  std::vector<std::string> all = {program, "--foreground", "--quiet", "--fd",
                                  absl::StrCat(kSocketFd)};
  all.insert(all.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  pointers.reserve(all.size() + 1);
  for (std::string& argument : all) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  const pid_t child = fork();
  if (child < 0) return base::ErrnoStatus(errno, absl::StrCat(program, ": cannot fork"));
  if (child == 0) RunLauncher(launchers.get(), program.c_str(), pointers.data());
  return std::unique_ptr<PasstLauncher>(
      new PasstLauncher(std::move(program), patience, child, std::move(own)));
}

PasstLauncher::~PasstLauncher() {
  control_.reset();
  while (waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

absl::StatusOr<base::UniqueFd> PasstLauncher::Launch() {
  const uint64_t request = ++last_request_;
  if (send(control_.get(), &request, sizeof(request), MSG_NOSIGNAL) != sizeof(request)) {
    return base::ErrnoStatus(errno, absl::StrCat(program_, ": its launcher has ended"));
  }
  ASSIGN_OR_RETURN(base::UniqueFd socket, ReceiveAnswer(control_.get(), program_, request));
  RETURN_IF_ERROR(WaitUntilItReads(socket.get(), program_, patience_));
  return socket;
}

}  // namespace net
