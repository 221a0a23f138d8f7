#include "devices/character/create_backend.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>

#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "base/unix_listener.h"
#include "devices/character/socket_backend.h"
#include "devices/character/stream_backend.h"
#include "devices/character/terminal.h"

namespace devices {
namespace {

using BackendOr = absl::StatusOr<std::unique_ptr<CharacterBackend>>;

class NullBackend final : public CharacterBackend {
 public:
  void SetClient(CharacterClient* /*client*/) override {}
  void Write(std::span<const uint8_t> /*bytes*/) override {}
  void ResumeInput() override {}
  bool drained() const override { return true; }
  uint64_t dropped_bytes() const override { return 0; }
};

base::UniqueFd Duplicate(int fd) { return base::UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

// Opens the terminal or pipe `fd` once more, without blocking. Setting O_NONBLOCK on `fd` itself
// would set it for the shell and for all other programs that share it. Returns an invalid
// descriptor if `fd` cannot be opened again.
base::UniqueFd ReopenNonBlocking(int fd, const struct stat& status, int access) {
  const int flags = access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  // LINUX: opening /dev/ptmx again would make another pty.
  const bool ptmx =
      S_ISCHR(status.st_mode) && major(status.st_rdev) == 5 && minor(status.st_rdev) == 2;
  if (ptmx) return {};
  base::UniqueFd again(open(absl::StrCat("/proc/self/fd/", fd).c_str(), flags));
  // The terminal may belong to another user, as under sudo. If it is our controlling terminal, it
  // also has a name that every user may open.
  if (!again.valid() && isatty(fd) != 0 && tcgetsid(fd) == getsid(0)) {
    again.reset(open("/dev/tty", flags));
  }
  return again;
}

struct OpenedOutput {
  base::UniqueFd fd;
  OutputSink sink;
};

absl::StatusOr<OpenedOutput> OpenOutput(int fd, uint64_t max_file_bytes) {
  struct stat status;
  if (fstat(fd, &status) != 0) return base::ErrnoStatus(errno, "standard output is not open");
  OpenedOutput opened;
  if (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode)) {
    opened.sink.kind = OutputSink::Kind::kRegular;
    opened.sink.limit_bytes = max_file_bytes;
  } else if (S_ISSOCK(status.st_mode)) {
    opened.sink.kind = OutputSink::Kind::kSocket;
  } else {
    opened.fd = ReopenNonBlocking(fd, status, O_WRONLY);
    // If a pipe is writable, it takes at least PIPE_BUF bytes [pipe(7)]. A terminal takes at least
    // 1.
    if (!opened.fd.valid() && (fcntl(fd, F_GETFL) & O_NONBLOCK) == 0) {
      opened.sink.blocking_limit_bytes = S_ISFIFO(status.st_mode) ? PIPE_BUF : 1;
    }
  }
  if (!opened.fd.valid()) opened.fd = Duplicate(fd);
  if (!opened.fd.valid()) return base::ErrnoStatus(errno, "cannot duplicate standard output");
  return opened;
}

// Returns an invalid descriptor if there is nothing to read.
base::UniqueFd OpenInput(int fd) {
  struct stat status;
  if (fstat(fd, &status) != 0) return {};
  base::UniqueFd input;
  if (S_ISCHR(status.st_mode) || S_ISFIFO(status.st_mode)) {
    input = ReopenNonBlocking(fd, status, O_RDONLY);
  }
  return input.valid() ? std::move(input) : Duplicate(fd);
}

BackendOr CreateTty(CharacterBackendOptions options, base::EventLoop& loop) {
  StreamBackend::Files files;
  ASSIGN_OR_RETURN(OpenedOutput output, OpenOutput(options.output_fd, options.max_file_bytes));
  files.output = std::move(output.fd);
  files.sink = output.sink;
  files.input = OpenInput(options.input_fd);
  InputPump::Filter filter;
  if (files.input.valid() && isatty(options.input_fd) != 0) {
    files.input_is_terminal = true;
    files.terminal_fd = options.input_fd;
    filter = [escape = EscapeFilter(std::move(options.on_escape))](std::span<uint8_t> bytes,
                                                                   size_t count) mutable {
      return escape.Apply(bytes, count);
    };
  } else if (isatty(options.output_fd) != 0) {
    files.terminal_fd = options.output_fd;
  }
  return StreamBackend::Create(loop, std::move(options.name), std::move(files), std::move(filter));
}

BackendOr CreatePty(CharacterBackendOptions options, base::EventLoop& loop) {
  StreamBackend::Files files;
  files.output.reset(posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
  const int master = files.output.get();
  char path[64];
  if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0 ||
      ptsname_r(master, path, sizeof(path)) != 0) {
    return base::ErrnoStatus(errno, "cannot make a pty");
  }
  // Held open because the master would report hang-ups for ever if no program had the other side
  // open.
  files.kept_open.reset(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  termios mode;
  if (!files.kept_open.valid() || tcgetattr(files.kept_open.get(), &mode) != 0) {
    return base::ErrnoStatus(errno, absl::StrCat(path, ": cannot open the new pty"));
  }
  // Raw, because the guest's own terminal driver echoes and edits.
  cfmakeraw(&mode);
  if (tcsetattr(files.kept_open.get(), TCSANOW, &mode) != 0) {
    return base::ErrnoStatus(errno, absl::StrCat(path, ": cannot make the pty raw"));
  }
  files.input = Duplicate(master);
  if (!files.input.valid()) return base::ErrnoStatus(errno, "cannot duplicate a pty");
  files.path = path;
  // UNLIMITED: logged once, at the start.
  LOG(Info) << options.name << ": pty " << path;
  return StreamBackend::Create(loop, std::move(options.name), std::move(files), {});
}

BackendOr CreateFile(CharacterBackendOptions options, base::EventLoop& loop) {
  StreamBackend::Files files;
  const char* const path = options.path.c_str();
  // O_NONBLOCK: the path may be a FIFO that no program reads, or a serial line.
  base::UniqueFd file(
      open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600));
  if (!file.valid()) {
    const char* const hint = errno == ENXIO    ? " (a FIFO needs its reader first)"
                             : errno == ENOENT ? " (make its folder first)"
                                               : "";
    return base::ErrnoStatus(errno, absl::StrCat(path, ": cannot open for writing", hint));
  }
  struct stat status;
  if (fstat(file.get(), &status) != 0) return base::ErrnoStatus(errno, path);
  if (S_ISREG(status.st_mode)) {
    files.sink.kind = OutputSink::Kind::kRegular;
    files.sink.limit_bytes = options.max_file_bytes;
    files.rotating.emplace(std::move(file), options.path);
  } else {
    files.output = std::move(file);
  }
  files.path = options.path;
  return StreamBackend::Create(loop, std::move(options.name), std::move(files), {});
}

BackendOr CreateSocket(CharacterBackendOptions options, base::EventLoop& loop) {
  ASSIGN_OR_RETURN(base::UnixListener listener, base::UnixListener::Listen(options.path));
  return SocketBackend::Create(loop, std::move(options.name), std::move(listener));
}

}  // namespace

BackendOr CreateCharacterBackend(CharacterBackendOptions options, base::EventLoop& loop) {
  // The configuration key to blame if something cannot be opened.
  std::string key = options.name;
  const auto annotate = [&key](BackendOr result) {
    if (!result.ok()) result = base::Annotate(result.status(), key);
    return result;
  };
  switch (options.mode) {
    case CharacterMode::kNull:
      break;
    case CharacterMode::kTty:
      return annotate(CreateTty(std::move(options), loop));
    case CharacterMode::kPty:
      return annotate(CreatePty(std::move(options), loop));
    case CharacterMode::kFile:
      absl::StrAppend(&key, ".file");
      return annotate(CreateFile(std::move(options), loop));
    case CharacterMode::kSocket:
      absl::StrAppend(&key, ".socket");
      return annotate(CreateSocket(std::move(options), loop));
  }
  return std::make_unique<NullBackend>();
}

}  // namespace devices
