// A FUSE file system for tests. A file gets another number once the kernel has forgotten it, as on
// most FUSE servers. A test can make changes wait, as changes of files that nfsd has delegated
// wait.
#ifndef VIRTIO_HOST_TREE_TESTING_FORGETFUL_FUSE_FIXTURES_H_
#define VIRTIO_HOST_TREE_TESTING_FORGETFUL_FUSE_FIXTURES_H_

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/unique_fd.h"

namespace virtio {

// Serves regular files f0, f1, ... in one directory. Their contents are "file 0", "file 1", ... and
// never change: a change is answered with success or ENOSYS, but not made. A file gets a new number
// when the kernel looks it up and does not know it. A thread of its own serves from Start until the
// mount is gone.
class ForgetfulFuse {
 public:
  explicit ForgetfulFuse(int files)
      : files_(files),
        device_(open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK)),
        stop_(eventfd(0, EFD_CLOEXEC)) {}
  ~ForgetfulFuse() {
    if (!thread_.joinable()) return;
    eventfd_write(stop_.get(), 1);
    thread_.join();
  }
  ForgetfulFuse(const ForgetfulFuse&) = delete;
  ForgetfulFuse& operator=(const ForgetfulFuse&) = delete;

  // False if this host has no FUSE.
  bool is_there() const { return device_.valid(); }
  // Returns the data for mount(2).
  std::string options() const {
    return absl::StrCat("fd=", device_.get(), ",rootmode=40000,user_id=0,group_id=0,allow_other");
  }
  void Start() {
    thread_ = std::thread([this] { Serve(); });
  }

  // Makes each change from here on wait until a signal interrupts the call, which then fails with
  // EINTR.
  void Delegate() {
    const std::lock_guard lock(mutex_);
    delegated_ = true;
  }
  // Ends that. Changes that wait already continue to wait.
  void GiveBack() {
    const std::lock_guard lock(mutex_);
    delegated_ = false;
  }
  // Returns how many changes were answered with success.
  int changes() const {
    const std::lock_guard lock(mutex_);
    return changes_;
  }

  // Makes the kernel drop its cache of the name of a file, and of the file if nobody holds it.
  void Invalidate(int index) {
    const std::string name = absl::StrCat("f", index);
    fuse_notify_inval_entry_out entry = {};
    entry.parent = FUSE_ROOT_ID;
    entry.namelen = static_cast<uint32_t>(name.size());
    fuse_out_header header = {};
    header.error = FUSE_NOTIFY_INVAL_ENTRY;
    const std::array<iovec, 3> parts = {{{&header, sizeof(header)},
                                         {&entry, sizeof(entry)},
                                         {const_cast<char*>(name.c_str()), name.size() + 1}}};
    for (const iovec& part : parts) header.len += static_cast<uint32_t>(part.iov_len);
    CHECK(writev(device_.get(), parts.data(), parts.size()) == header.len);
  }
  // Waits until the kernel has reported that it has forgotten a file. The kernel reports that in
  // the order in which it forgets files. Returns false after 10 s.
  bool WaitForgotten(int index) {
    std::unique_lock lock(mutex_);
    return forgotten_.wait_for(lock, std::chrono::seconds(10),
                               [&] { return numbers_.find(index) == numbers_.end(); });
  }

 private:
  struct Number {
    uint64_t number;
    uint64_t lookups;
  };

  void Serve() {
    std::vector<uint8_t> request(FUSE_MIN_READ_BUFFER + (128 << 10));
    while (true) {
      pollfd files[] = {{device_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
      if (poll(files, std::size(files), -1) < 0) continue;
      if (files[1].revents != 0) return;
      const ssize_t size = read(device_.get(), request.data(), request.size());
      if (size < 0 && errno == ENODEV) return;
      if (size > 0) Answer(request);
    }
  }

  template <typename T>
  static T Arguments(const std::vector<uint8_t>& request, size_t offset = 0) {
    T arguments;
    std::memcpy(&arguments, &request[sizeof(fuse_in_header) + offset], sizeof(T));
    return arguments;
  }

  void Answer(const std::vector<uint8_t>& request) {
    fuse_in_header in;
    std::memcpy(&in, request.data(), sizeof(in));
    const std::lock_guard lock(mutex_);
    switch (in.opcode) {
      case FUSE_INIT: {
        fuse_init_out out = {};
        out.major = FUSE_KERNEL_VERSION;
        out.minor = 31;
        out.max_write = 4096;
        return Send(in, &out, sizeof(out));
      }
      case FUSE_LOOKUP:
        return LookUp(in, reinterpret_cast<const char*>(&request[sizeof(in)]));
      case FUSE_FORGET:
        return Drop(in.nodeid, Arguments<fuse_forget_in>(request).nlookup);
      case FUSE_BATCH_FORGET: {
        const auto count = Arguments<fuse_batch_forget_in>(request).count;
        for (size_t i = 0; i < count; ++i) {
          const auto one = Arguments<fuse_forget_one>(
              request, sizeof(fuse_batch_forget_in) + i * sizeof(fuse_forget_one));
          Drop(one.nodeid, one.nlookup);
        }
        return;
      }
      case FUSE_GETATTR: {
        fuse_attr_out out = {};
        const int index = FindIndex(in.nodeid);
        if (index < 0 && in.nodeid != FUSE_ROOT_ID) return Refuse(in, ESTALE);
        out.attr = Attributes(in.nodeid, index);
        return Send(in, &out, sizeof(out));
      }
      case FUSE_STATFS: {
        fuse_statfs_out out = {};
        out.st.namelen = 255;
        return Send(in, &out, sizeof(out));
      }
      case FUSE_OPEN: {
        const fuse_open_out out = {};
        return Send(in, &out, sizeof(out));
      }
      case FUSE_READ: {
        const int index = FindIndex(in.nodeid);
        if (index < 0) return Refuse(in, ESTALE);
        const auto read = Arguments<fuse_read_in>(request);
        const std::string text = absl::StrCat("file ", index);
        const size_t from = std::min<size_t>(read.offset, text.size());
        return Send(in, &text[from], std::min<size_t>(text.size() - from, read.size));
      }
      case FUSE_RELEASE:
      case FUSE_FLUSH:
        return Send(in, nullptr, 0);
      case FUSE_UNLINK:
      case FUSE_RENAME:
      case FUSE_RENAME2:
      case FUSE_SETXATTR:
      case FUSE_REMOVEXATTR:
        return Change(in, nullptr, 0);
      case FUSE_SETATTR: {
        fuse_attr_out out = {};
        out.attr = Attributes(in.nodeid, FindIndex(in.nodeid));
        return Change(in, &out, sizeof(out));
      }
      case FUSE_INTERRUPT: {
        const uint64_t unique = Arguments<fuse_interrupt_in>(request).unique;
        if (waiting_.erase(unique) == 0) return;
        fuse_in_header waits = {};
        waits.unique = unique;
        return Refuse(waits, EINTR);
      }
      default:
        return Refuse(in, ENOSYS);
    }
  }

  void LookUp(const fuse_in_header& in, const char* name) {
    const int index = name[0] == 'f' ? std::atoi(name + 1) : files_;
    const bool is_there = index < files_ && absl::StrCat("f", index) == name;
    if (in.nodeid != FUSE_ROOT_ID || !is_there) return Refuse(in, ENOENT);
    Number& number = numbers_.try_emplace(index, Number{next_number_, 0}).first->second;
    if (number.number == next_number_) ++next_number_;
    ++number.lookups;
    fuse_entry_out out = {};
    out.nodeid = number.number;
    out.attr = Attributes(number.number, index);
    Send(in, &out, sizeof(out));
  }

  void Drop(uint64_t number, uint64_t lookups) {
    const auto found = numbers_.find(FindIndex(number));
    if (found == numbers_.end()) return;
    found->second.lookups -= lookups;
    if (found->second.lookups > 0) return;
    numbers_.erase(found);
    forgotten_.notify_all();
  }

  // Returns the index of a file by its number, or -1.
  int FindIndex(uint64_t number) const {
    for (const auto& [index, file] : numbers_) {
      if (file.number == number) return index;
    }
    return -1;
  }

  static fuse_attr Attributes(uint64_t number, int index) {
    fuse_attr attributes = {};
    attributes.ino = number;
    attributes.mode = index < 0 ? S_IFDIR | 0755 : S_IFREG | 0644;
    attributes.nlink = 1;
    attributes.size = index < 0 ? 0 : absl::StrCat("file ", index).size();
    attributes.blksize = 4096;
    return attributes;
  }

  void Change(const fuse_in_header& in, const void* payload, size_t bytes) {
    if (delegated_) {
      waiting_.insert(in.unique);
      return;
    }
    ++changes_;
    Send(in, payload, bytes);
  }
  void Refuse(const fuse_in_header& in, int error) { Send(in, nullptr, 0, error); }
  // ENOENT: the kernel has given the request up. ENODEV: the mount is gone.
  void Send(const fuse_in_header& in, const void* payload, size_t bytes, int error = 0) {
    fuse_out_header header = {};
    header.len = static_cast<uint32_t>(sizeof(header) + bytes);
    header.error = -error;
    header.unique = in.unique;
    const std::array<iovec, 2> parts = {
        {{&header, sizeof(header)}, {const_cast<void*>(payload), bytes}}};
    const ssize_t written = writev(device_.get(), parts.data(), parts.size());
    CHECK(written == header.len || errno == ENOENT || errno == ENODEV);
  }

  const int files_;
  const base::UniqueFd device_;
  const base::UniqueFd stop_;  // eventfd
  mutable std::mutex mutex_;
  std::condition_variable forgotten_;
  std::map<int, Number> numbers_;  // by the index of the file; only files that the kernel knows
  uint64_t next_number_ = 100;
  bool delegated_ = false;
  std::set<uint64_t> waiting_;  // the numbers of requests for changes
  int changes_ = 0;
  std::thread thread_;
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_TESTING_FORGETFUL_FUSE_FIXTURES_H_
