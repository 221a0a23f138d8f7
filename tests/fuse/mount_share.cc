// mount-share [OPTION...] ROOT MOUNTPOINT COMMAND [ARGUMENT...]: serves ROOT as vmm serves a share
// to its guest, mounts it at MOUNTPOINT with the kernel's own FUSE client, and runs COMMAND there,
// in a separate mount namespace.
//
//   --cache never|auto|always   what the client may keep; default auto
//   --readonly                  a share that cannot be written to, mounted read-only
//   --closure FILE              the store paths that exist, as the key `closure` of vm.json
//   --counters FILE             where the share's counters are written at the end, as JSON
//
// The environment variable SHARE_CONTROL gives COMMAND the number of a socket. For each byte
// written to the socket, a line with the counters and `cpu_ns`, the CPU time of the share's thread,
// comes back. Exit status: that of COMMAND; 1 if the share failed; 2 for wrong usage; 77 if there
// is no FUSE to mount with.

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/loop_thread.h"
#include "base/status.h"
#include "tests/fuse/fuse_bridge.h"

namespace virtio {
namespace {

constexpr int kFailed = 1;
constexpr int kBadUsage = 2;
constexpr int kCannotRun = 77;
constexpr uint16_t kQueueSize = 1024;           // vmm's default
constexpr uint32_t kDescriptors = 16384;        // for a writable share
constexpr size_t kNodeBytes = size_t{1} << 30;  // more nodes than any test looks up

struct Arguments {
  FsCache cache = FsCache::kAuto;
  bool readonly = false;
  std::optional<std::string> closure;
  std::string counters, root, mountpoint;
  char** command = nullptr;
};

bool ParseCache(const std::string& word, FsCache& cache) {
  cache = word == "never" ? FsCache::kNever : word == "always" ? FsCache::kAlways : FsCache::kAuto;
  return word == "never" || word == "auto" || word == "always";
}

bool Parse(int count, char** words, Arguments& arguments) {
  int i = 1;
  for (; i < count && words[i][0] == '-'; ++i) {
    const std::string word = words[i];
    if (word == "--readonly") {
      arguments.readonly = true;
      continue;
    }
    if (++i == count) return false;
    if (word == "--cache") {
      if (!ParseCache(words[i], arguments.cache)) return false;
    } else if (word == "--closure") {
      arguments.closure = words[i];
    } else if (word == "--counters") {
      arguments.counters = words[i];
    } else {
      return false;
    }
  }
  // The same rule as in vmm: contents that a guest may keep forever must not change.
  const bool immutable = arguments.cache == FsCache::kAlways || arguments.closure.has_value();
  if (count - i < 3 || (immutable && !arguments.readonly)) return false;
  arguments.root = words[i];
  arguments.mountpoint = words[i + 1];
  arguments.command = words + i + 2;
  return true;
}

absl::StatusOr<std::unique_ptr<FsDevice>> MakeDevice(const Arguments& arguments,
                                                     base::EventLoop& loop,
                                                     base::GuestMemory& memory) {
  const bool immutable = arguments.cache == FsCache::kAlways || arguments.closure.has_value();
  HostTree::Options tree_options;
  tree_options.name = "fs[0]";
  tree_options.path = arguments.root;
  tree_options.closure = arguments.closure;
  tree_options.writable = !arguments.readonly;
  tree_options.max_directories = kDescriptors / 2;
  tree_options.max_node_bytes = kNodeBytes;
  ASSIGN_OR_RETURN(auto tree, HostTree::Open(std::move(tree_options)));
  FsDevice::Options options;
  options.id = "_fs0";
  options.tag = "share";
  options.cache = immutable ? FsCache::kAlways : arguments.cache;
  options.queue_size = kQueueSize;
  options.max_open_files = kDescriptors / 2;
  return FsDevice::Create(std::move(options), std::move(tree), loop, memory);
}

// Enters a new mount namespace and mounts `fuse` there. Returns an errno.
int Mount(int fuse, const Arguments& arguments) {
  if (unshare(CLONE_NEWNS) != 0) return errno;
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return errno;
  const std::string options = absl::StrCat(
      "fd=", fuse, ",rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other");
  return mount("share", arguments.mountpoint.c_str(), "fuse", arguments.readonly ? MS_RDONLY : 0,
               options.c_str()) == 0
             ? 0
             : errno;
}

// Runs the command in the mounted folder and returns its process.
pid_t StartCommand(const Arguments& arguments, int control) {
  const pid_t parent = getpid();
  const std::string socket = absl::StrCat(control);
  const pid_t child = fork();
  if (child != 0) return child;
  // The child must open nothing of the share before exec: the thread that serves the share is the
  // parent's.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(kFailed);
  setenv("SHARE_CONTROL", socket.c_str(), 1);
  if (chdir(arguments.mountpoint.c_str()) != 0) {
    perror("mount-share: chdir");
    _exit(kFailed);
  }
  execvp(arguments.command[0], arguments.command);
  perror(arguments.command[0]);
  _exit(kFailed);
}

// Waits for the command, then unmounts the share, which ends FuseBridge::Serve. Returns the exit
// status.
int Finish(pid_t child, const Arguments& arguments) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  int result = WIFEXITED(status) ? WEXITSTATUS(status) : kFailed;
  if (WIFSIGNALED(status)) {
    fprintf(stderr, "mount-share: signal %d ended the command\n", WTERMSIG(status));
  }
  if (umount2(arguments.mountpoint.c_str(), 0) != 0) {
    perror("mount-share: umount");
    umount2(arguments.mountpoint.c_str(), MNT_DETACH | MNT_FORCE);
    if (result == 0) result = kFailed;
  }
  return result;
}

absl::StatusOr<int> Run(const Arguments& arguments, base::UniqueFd fuse) {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return base::ErrnoStatus(errno, "RLIMIT_NOFILE");
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  int control[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, control) != 0) {
    return base::ErrnoStatus(errno, "socketpair");
  }
  const base::UniqueFd ours(control[0]);
  base::UniqueFd theirs(control[1]);
  fcntl(ours.get(), F_SETFD, FD_CLOEXEC);

  ASSIGN_OR_RETURN(auto memory, base::GuestMemory::Create({.thp = false},
                                                          {{0, FuseBridge::kRamBytes, nullptr}}));
  base::UringEventLoop::Options loop_options;
  loop_options.fixed_files = false;
  ASSIGN_OR_RETURN(auto thread, base::LoopThread::Create("share0", loop_options));
  ASSIGN_OR_RETURN(auto device, MakeDevice(arguments, thread->loop(), *memory));
  RETURN_IF_ERROR(thread->Start());
  int result = 0;
  absl::Status served;
  {
    ASSIGN_OR_RETURN(auto bridge, FuseBridge::Start(*device, *memory));
    const pid_t child = StartCommand(arguments, theirs.get());
    theirs.reset();
    std::thread finisher([&] { result = Finish(child, arguments); });
    served = bridge->Serve(fuse.get(), ours.get());
    fuse.reset();  // requests that still wait for an answer fail
    if (!served.ok()) kill(child, SIGKILL);
    finisher.join();
    if (!arguments.counters.empty()) std::ofstream(arguments.counters) << bridge->Counters();
  }
  thread->Stop();
  RETURN_IF_ERROR(served);
  return result;
}

int Main(int count, char** words) {
  Arguments arguments;
  if (!Parse(count, words, arguments)) {
    fprintf(stderr,
            "usage: mount-share [--cache never|auto|always] [--readonly] [--closure FILE]"
            " [--counters FILE] ROOT MOUNTPOINT COMMAND [ARGUMENT...]\n");
    return kBadUsage;
  }
  base::UniqueFd fuse(open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fuse.valid()) {
    perror("mount-share: /dev/fuse");
    return kCannotRun;
  }
  if (const int error = Mount(fuse.get(), arguments); error != 0) {
    fprintf(stderr, "mount-share: mount: %s\n", strerror(error));
    return error == EPERM || error == ENODEV ? kCannotRun : kFailed;
  }
  const absl::StatusOr<int> result = Run(arguments, std::move(fuse));
  if (result.ok()) return *result;
  fprintf(stderr, "mount-share: %s\n", std::string(result.status().message()).c_str());
  return kFailed;
}

}  // namespace
}  // namespace virtio

int main(int count, char** words) { return virtio::Main(count, words); }
