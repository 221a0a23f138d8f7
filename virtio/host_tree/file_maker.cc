#include "virtio/host_tree/file_maker.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "virtio/host_tree/file_status.h"

namespace virtio {
namespace {

constexpr uint32_t kSetIds = S_ISUID | S_ISGID;

// Gives the thread the umask of the guest during the life of the object. The first object in a
// thread gives the thread an umask (and a working directory) of its own, because all threads share
// those of the process otherwise.
class GuestUmask {
 public:
  explicit GuestUmask(uint32_t mask) {
    static thread_local const HostError unshared = HostError::Of(unshare(CLONE_FS));
    error_ = unshared;
    if (error_ == 0) before_ = umask(mask & 0777);
  }
  ~GuestUmask() {
    if (error_ == 0) umask(before_);
  }
  GuestUmask(const GuestUmask&) = delete;
  GuestUmask& operator=(const GuestUmask&) = delete;

  HostError error() const { return error_; }

 private:
  HostError error_;
  mode_t before_ = 0;
};

// Returns true if this may be a pipe, socket, device or link that was made at `since` or later.
bool IsNew(const struct statx& status, time_t since) {
  if (status.stx_nlink != 1) return false;
  // To own a link gives no rights, so any link may be given away. The same goes for file systems
  // without times of birth, which cannot say. Times of birth are of the clock of this machine.
  return S_ISLNK(status.stx_mode) || (status.stx_mask & STATX_BTIME) == 0 ||
         status.stx_btime.tv_sec >= since;
}

// Returns true if nothing is in the directory, as in a directory that was just made.
bool IsEmptyDirectory(base::UniqueFd fd) {
  DIR* directory = fdopendir(fd.get());
  if (directory == nullptr) return false;
  fd.release();     // closedir closes the descriptor
  int entries = 0;  // with "." and ".."
  errno = 0;
  while (entries <= 2 && readdir(directory) != nullptr) ++entries;
  const bool empty = entries <= 2 && errno == 0;
  closedir(directory);
  return empty;
}

// Makes the file as the user of vmm.
HostError MakeOnHost(int directory_fd, const char* name, const NewFile& file) {
  switch (file.mode & S_IFMT) {
    case S_IFDIR:
      return HostError::Of(mkdirat(directory_fd, name, file.mode & 07777));
    case S_IFLNK:
      if (file.target.size() >= PATH_MAX) return ENAMETOOLONG;
      if (file.target.find('\0') != absl::string_view::npos) return EINVAL;
      return HostError::Of(symlinkat(std::string(file.target).c_str(), directory_fd, name));
    case S_IFBLK:
      return EPERM;
    case S_IFCHR:
      if (file.device_major != 0 || file.device_minor != 0) return EPERM;
      [[fallthrough]];
    case S_IFIFO:
    case S_IFSOCK:
      return HostError::Of(mknodat(directory_fd, name, file.mode & (S_IFMT | 07777) & ~kSetIds, 0));
    default:
      return EINVAL;
  }
}

}  // namespace

HostError FileMaker::Begin(const Caller& caller, Making& making) const {
  making.since = time(nullptr);
  return owners_.ToMaker(caller.uid, caller.gid, making.owner);
}

HostError FileMaker::MakeRegular(int directory_fd, const char* name, const Caller& caller,
                                 uint32_t mode, int flags, SeenFile& made, base::UniqueFd& fd) {
  Making making;
  RETURN_IF_HOST_ERROR(Begin(caller, making));
  {
    const GuestUmask guest_umask(caller.umask);
    RETURN_IF_HOST_ERROR(guest_umask.error());
    RETURN_IF_HOST_ERROR(
        root_.OpenIn(directory_fd, name, O_CREAT | O_EXCL | flags, fd, mode & 07777 & ~kSetIds));
  }
  // If the look fails, the file stays, because another file may have its name by now.
  RETURN_IF_HOST_ERROR(root_.Look(fd.get(), "", made));
  const HostError error = GiveOwner(directory_fd, fd.get(), making.owner, mode, made.status);
  if (error != 0) Remove(directory_fd, name, made.identity);
  return error;
}

HostError FileMaker::Make(int directory_fd, const char* name, const Caller& caller,
                          const NewFile& file, SeenFile& made) {
  Making making;
  RETURN_IF_HOST_ERROR(Begin(caller, making));
  const GuestUmask guest_umask(caller.umask);
  RETURN_IF_HOST_ERROR(guest_umask.error());
  RETURN_IF_HOST_ERROR(MakeOnHost(directory_fd, name, file));
  return Finish(directory_fd, name, making, file.mode, made);
}

HostError FileMaker::Finish(int directory_fd, const char* name, const Making& making, uint32_t mode,
                            SeenFile& made) {
  RETURN_IF_HOST_ERROR(root_.Look(directory_fd, name, made));
  struct statx& status = made.status;
  const uint32_t set_ids = S_ISDIR(mode) ? 0 : mode & kSetIds;
  if (making.owner == HostOwner{status.stx_uid, status.stx_gid} && set_ids == 0) return 0;
  base::UniqueFd fd;
  RETURN_IF_HOST_ERROR(OpenMade(directory_fd, name, making, mode, made, fd));
  const HostError error = GiveOwner(directory_fd, fd.get(), making.owner, mode, status);
  if (error != 0) {
    Remove(directory_fd, name, made.identity);
    return error;
  }
  if (made.kind->numbers == FileNumbers::kPinned) made.pin = std::move(fd);
  return 0;
}

HostError FileMaker::OpenMade(int directory_fd, const char* name, const Making& making,
                              uint32_t mode, SeenFile& made, base::UniqueFd& fd) {
  RETURN_IF_HOST_ERROR(root_.OpenIn(directory_fd, name, O_PATH, fd));
  RETURN_IF_HOST_ERROR(root_.Look(fd.get(), "", made));
  const struct statx& status = made.status;
  base::UniqueFd listing;
  if (S_ISDIR(status.stx_mode)) {
    RETURN_IF_HOST_ERROR(root_.OpenIn(fd.get(), ".", O_RDONLY | O_DIRECTORY, listing));
  }
  const bool made_here =
      status.stx_uid == owners_.own_uid() && TypeOf(status) == (mode & S_IFMT) &&
      status.stx_rdev_major == 0 && status.stx_rdev_minor == 0 &&
      (listing.valid() ? IsEmptyDirectory(std::move(listing)) : IsNew(status, making.since));
  return HostError::FromErrno(made_here ? 0 : ESTALE);
}

HostError FileMaker::GiveOwner(int directory_fd, int fd, const HostOwner& owner, uint32_t mode,
                               struct statx& status) {
  uint32_t gid = owner.gid;
  if (gid != status.stx_gid) {
    struct statx directory;
    RETURN_IF_HOST_ERROR(root_.Status(directory_fd, "", directory));
    // A file that is made in a set-group-id directory keeps the group of the directory.
    if ((directory.stx_mode & S_ISGID) != 0) gid = status.stx_gid;
  }
  const bool other_owner = owner.uid != status.stx_uid || gid != status.stx_gid;
  if (other_owner && fchownat(fd, "", owner.uid, gid, AT_EMPTY_PATH) != 0) return HostError::Last();
  const uint32_t set_ids = S_ISDIR(status.stx_mode) ? 0 : owners_.LimitSetIds(mode & kSetIds, gid);
  if (set_ids != 0) {
    RETURN_IF_HOST_ERROR(
        watch_.Run([&] { return root_.ChangeMode(fd, (status.stx_mode & ~kSetIds) | set_ids); }));
  }
  return other_owner || set_ids != 0 ? root_.Status(fd, "", status) : 0;
}

void FileMaker::Remove(int directory_fd, const char* name, const FileIdentity& made) {
  SeenFile seen;
  if (root_.Look(directory_fd, name, seen) != 0 || !(seen.identity == made)) return;
  unlinkat(directory_fd, name, S_ISDIR(seen.status.stx_mode) ? AT_REMOVEDIR : 0);
}

void FileMaker::OwnWhiteout(int directory_fd, const char* name, const Making& making) {
  SeenFile seen;
  if (root_.Look(directory_fd, name, seen) != 0) return;
  if (making.owner == HostOwner{seen.status.stx_uid, seen.status.stx_gid}) return;
  base::UniqueFd fd;
  if (OpenMade(directory_fd, name, making, S_IFCHR, seen, fd) != 0) return;
  GiveOwner(directory_fd, fd.get(), making.owner, S_IFCHR, seen.status).Ignore();
}

}  // namespace virtio
