// Mounts of the host for one test, in a mount namespace of the test program.
#ifndef VIRTIO_HOST_TREE_TESTING_MOUNT_FIXTURES_H_
#define VIRTIO_HOST_TREE_TESTING_MOUNT_FIXTURES_H_

#include <errno.h>
#include <sched.h>
#include <sys/mount.h>

#include <string>
#include <vector>

namespace virtio {

// Undoes its mounts at its end, the last mount first.
class HostMounts {
 public:
  // Gives the process its own mount namespace, once.
  HostMounts() {
    static const bool once =
        unshare(CLONE_NEWNS) == 0 && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
    can_mount_ = once;
  }
  ~HostMounts() { RemoveAll(); }
  HostMounts(const HostMounts&) = delete;
  HostMounts& operator=(const HostMounts&) = delete;

  // False if the process has no right to mount (CAP_SYS_ADMIN).
  bool can_mount() const { return can_mount_; }
  // Calls mount(2) for a directory or file that exists. Returns 0 or an errno.
  int Add(const std::string& path, const char* type, const std::string& source = "none",
          unsigned long flags = 0, const char* data = nullptr) {
    if (mount(source.c_str(), path.c_str(), type, flags, data) != 0) return errno;
    if ((flags & MS_REMOUNT) == 0) paths_.push_back(path);
    return 0;
  }
  // Shows `source`, a directory or file, at `path` too.
  int Bind(const std::string& source, const std::string& path, bool readonly = false) {
    const int error = Add(path, nullptr, source, MS_BIND);
    if (error != 0 || !readonly) return error;
    return Add(path, nullptr, "none", MS_BIND | MS_REMOUNT | MS_RDONLY);
  }
  // Adds a mount that another process has made, so that it is undone at the end.
  void Took(const std::string& path) { paths_.push_back(path); }
  // Undoes the last mount.
  void Remove() {
    umount2(paths_.back().c_str(), MNT_DETACH);
    paths_.pop_back();
  }
  void RemoveAll() {
    while (!paths_.empty()) Remove();
  }

 private:
  bool can_mount_ = false;
  std::vector<std::string> paths_;
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_TESTING_MOUNT_FIXTURES_H_
