// A 9P device on a temporary tree, and its driver, which speaks 9P2000.L.
#ifndef VIRTIO_P9_TESTING_P9_FIXTURES_H_
#define VIRTIO_P9_TESTING_P9_FIXTURES_H_

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "virtio/host_tree/owner_map.h"
#include "virtio/p9/p9_device.h"
#include "virtio/p9/p9_wire.h"
#include "virtio/share/testing/share_fixtures.h"

namespace virtio {

// Builds the bytes of a message. Numbers are as wide as their types; strings have their size before
// them.
class P9Bytes {
 public:
  template <typename T>
  requires std::is_unsigned_v<T> P9Bytes& Number(T value) {
    for (size_t i = 0; i < sizeof(T); ++i) bytes_.push_back(static_cast<uint8_t>(value >> 8 * i));
    return *this;
  }
  P9Bytes& String(absl::string_view text) {
    Number(static_cast<uint16_t>(text.size()));
    bytes_.insert(bytes_.end(), text.begin(), text.end());
    return *this;
  }
  const Bytes& get() const { return bytes_; }
  // Returns the message with its header. `size_error` is added to the size in the header.
  Bytes Message(uint8_t type, uint16_t tag, int size_error = 0) const {
    P9Bytes message;
    message.Number(static_cast<uint32_t>(static_cast<int>(bytes_.size()) + 7 + size_error));
    message.Number(type).Number(tag);
    message.bytes_.insert(message.bytes_.end(), bytes_.begin(), bytes_.end());
    return message.bytes_;
  }

 private:
  Bytes bytes_;
};

class P9Harness : public ShareHarness<P9Device> {
 public:
  static constexpr uint32_t kRoot = 1;  // the fid of the root
  struct Options {
    DeviceHarness::Options harness = {.loop = {}, .queue_size = 64};
    P9Versions versions = P9Versions::kConstant;
    std::optional<std::string> closure = {};  // its text
    uint32_t max_open_files = 16;
    uint32_t max_fids = 100;
    size_t max_node_bytes = size_t{256} << 20;
    bool writable = false;
    bool submounts = false;
    OwnerMap uids = {};
    OwnerMap gids = {};
    bool attach = true;
  };
  struct Listed {
    std::string name;
    P9DirectoryEntry entry;
  };

  // `fill(TemporaryTree)` makes what is shared, below "root".
  template <typename Fill>
  P9Harness(const Options& options, const Fill& fill)
      : ShareHarness(options.harness,
                     {.closure = options.closure,
                      .writable = options.writable,
                      .submounts = options.submounts,
                      .uids = options.uids,
                      .gids = options.gids,
                      .max_node_bytes = options.max_node_bytes},
                     fill),
        attach_(options.attach) {
    CreateDevice({.id = "_fs0",
                  .tag = "store",
                  .versions = options.versions,
                  .queue_size = options.harness.queue_size,
                  .max_open_files = options.max_open_files,
                  .max_fids = options.max_fids});
    Start();
  }

  void Start() {
    StartDevice();
    if (!attach_) return;
    EXPECT_EQ(Version().error, 0);
    EXPECT_EQ(Attach(kRoot).error, 0);
  }

  FakeDriver& driver() { return harness().driver(0); }

  // Sends a message whose answer may have `room` bytes behind the header. Checks the header of the
  // answer.
  Result Do(uint8_t type, const P9Bytes& arguments, uint32_t room = 4096) {
    driver().EnableInterrupts();
    const uint16_t head = Offer(type, ++tag_, arguments, room);
    harness().Publish(0);
    return Take(head, type, tag_);
  }
  uint16_t Offer(uint8_t type, uint16_t tag, const P9Bytes& arguments, uint32_t room) {
    return driver()
        .Chain()
        .Readable(arguments.Message(type, tag))
        .Writable(7)
        .Writable(room)
        .Offer();
  }
  Result Take(uint16_t head, uint8_t type, uint16_t tag) {
    P9Header header;
    return Check(TakeAnswer(0, head, header), header, type, tag);
  }
  static Result Parse(const Bytes& bytes, uint32_t used, uint8_t type, uint16_t tag) {
    P9Header header;
    return Check(SplitAnswer(bytes, used, header), header, type, tag);
  }

  Result Version(uint32_t max_bytes = 1 << 20, absl::string_view dialect = "9P2000.L") {
    return Do(kP9Version, P9Bytes().Number(max_bytes).String(dialect));
  }
  Result Attach(uint32_t fid, absl::string_view name = "", uint32_t uid = 0) {
    return Do(kP9Attach,
              P9Bytes().Number(fid).Number(kP9NoFid).String("root").String(name).Number(uid));
  }
  Result Walk(uint32_t fid, uint32_t new_fid, const std::vector<std::string>& names,
              uint32_t room = 4096) {
    P9Bytes bytes;
    bytes.Number(fid).Number(new_fid).Number(static_cast<uint16_t>(names.size()));
    for (const std::string& name : names) bytes.String(name);
    return Do(kP9Walk, bytes, room);
  }
  // Walks, and returns how many names the walk took, or -errno.
  int Walked(uint32_t fid, uint32_t new_fid, const std::vector<std::string>& names) {
    const Result result = Walk(fid, new_fid, names);
    if (result.error != 0) return -result.error;
    const uint16_t walked = result.As<base::Le16>().value();
    EXPECT_EQ(result.data.size(), 2 + walked * sizeof(P9Qid));
    return walked;
  }
  // Returns a new fid of the file that `names` lead to from the root.
  uint32_t Find(const std::vector<std::string>& names) {
    EXPECT_EQ(Walked(kRoot, ++fid_, names), static_cast<int>(names.size()));
    return fid_;
  }
  uint32_t Opened(const std::vector<std::string>& names) {
    const uint32_t fid = Find(names);
    EXPECT_EQ(Open(fid).error, 0);
    return fid;
  }
  // Makes a file in the root and returns its new fid, which is open as `flags` say.
  uint32_t Created(const std::string& name, uint32_t flags = O_RDWR, uint32_t mode = 0644) {
    const uint32_t fid = Find({});
    EXPECT_EQ(Create(fid, name, flags, mode).error, 0);
    return fid;
  }
  Result Create(uint32_t fid, absl::string_view name, uint32_t flags, uint32_t mode,
                uint32_t gid = 0) {
    return Do(kP9Create, P9Bytes().Number(fid).String(name).Number(flags).Number(mode).Number(gid));
  }
  Result MakeDirectory(uint32_t fid, absl::string_view name, uint32_t mode = 0755,
                       uint32_t gid = 0) {
    return Do(kP9MkDir, P9Bytes().Number(fid).String(name).Number(mode).Number(gid));
  }
  Result MakeNode(uint32_t fid, absl::string_view name, uint32_t mode) {
    return Do(kP9MkNod,
              P9Bytes().Number(fid).String(name).Number(mode).Number(0U).Number(0U).Number(0U));
  }
  Result MakeLink(uint32_t fid, absl::string_view name, absl::string_view target) {
    return Do(kP9SymLink, P9Bytes().Number(fid).String(name).String(target).Number(0U));
  }
  Result Link(uint32_t directory, uint32_t fid, absl::string_view name) {
    return Do(kP9Link, P9Bytes().Number(directory).Number(fid).String(name));
  }
  Result RenameAt(uint32_t from, absl::string_view name, uint32_t to, absl::string_view new_name) {
    return Do(kP9RenameAt, P9Bytes().Number(from).String(name).Number(to).String(new_name));
  }
  Result Unlink(uint32_t fid, absl::string_view name, uint32_t flags = 0) {
    return Do(kP9UnlinkAt, P9Bytes().Number(fid).String(name).Number(flags));
  }
  struct Attributes {
    uint32_t valid = 0;
    uint32_t mode = 0;
    uint32_t uid = 0;
    uint32_t gid = 0;
    uint64_t size_bytes = 0;
    uint64_t accessed[2] = {0, 0};
    uint64_t modified[2] = {0, 0};
  };
  Result SetAttributes(uint32_t fid, const Attributes& a) {
    P9Bytes bytes;
    bytes.Number(fid).Number(a.valid).Number(a.mode).Number(a.uid).Number(a.gid);
    bytes.Number(a.size_bytes).Number(a.accessed[0]).Number(a.accessed[1]);
    return Do(kP9SetAttr, bytes.Number(a.modified[0]).Number(a.modified[1]));
  }
  static P9Bytes WriteArguments(uint32_t fid, uint64_t offset, absl::string_view data) {
    P9Bytes bytes;
    bytes.Number(fid).Number(offset).Number(static_cast<uint32_t>(data.size()));
    for (const char c : data) bytes.Number(static_cast<uint8_t>(c));
    return bytes;
  }
  // Returns how many bytes were written, or -errno.
  int Write(uint32_t fid, uint64_t offset, absl::string_view data) {
    const Result result = Do(kP9Write, WriteArguments(fid, offset, data));
    return result.error != 0 ? -result.error : static_cast<int>(result.As<base::Le32>().value());
  }
  static P9Bytes LockArguments(uint32_t fid, uint8_t type, uint64_t start, uint64_t length,
                               uint32_t process) {
    P9Bytes bytes;
    bytes.Number(fid).Number(type).Number(0U).Number(start).Number(length).Number(process);
    return bytes.String("guest");
  }
  // Returns the status, or -errno.
  int Lock(uint32_t fid, uint8_t type, uint64_t start, uint64_t length, uint32_t process) {
    const Result result = Do(kP9Lock, LockArguments(fid, type, start, length, process));
    if (result.error != 0) return -result.error;
    EXPECT_EQ(result.data.size(), 1U);
    return result.data[0];
  }
  // Returns the lock that is in the way.
  P9Lock GetLock(uint32_t fid, uint8_t type, uint64_t start, uint64_t length, uint32_t process) {
    P9Bytes bytes;
    bytes.Number(fid).Number(type).Number(start).Number(length).Number(process).String("guest");
    const Result result = Do(kP9GetLock, bytes);
    EXPECT_EQ(result.error, 0);
    EXPECT_EQ(result.Text(sizeof(P9Lock)), std::string("\x05\0guest", 7));
    return result.As<P9Lock>();
  }
  Result OfFid(uint8_t type, uint32_t fid) { return Do(type, P9Bytes().Number(fid)); }
  Result Open(uint32_t fid, uint32_t flags = 0) {
    return Do(kP9Open, P9Bytes().Number(fid).Number(flags));
  }
  Result Clunk(uint32_t fid) { return OfFid(kP9Clunk, fid); }
  Result GetAttributes(uint32_t fid) {
    return Do(kP9GetAttr, P9Bytes().Number(fid).Number(kP9BasicAttributes));
  }
  static P9Bytes ReadArguments(uint32_t fid, uint64_t offset, uint32_t count) {
    return P9Bytes().Number(fid).Number(offset).Number(count);
  }
  Result Read(uint32_t fid, uint64_t offset, uint32_t count) {
    return Do(kP9Read, ReadArguments(fid, offset, count), count + 4);
  }
  std::string ReadText(uint32_t fid, uint64_t offset, uint32_t count) {
    const Result result = Read(fid, offset, count);
    EXPECT_EQ(result.error, 0);
    if (result.error != 0) return "?";
    EXPECT_EQ(result.As<base::Le32>().value() + 4, result.data.size());
    return result.Text(4);
  }
  std::vector<Listed> List(uint32_t fid, uint32_t count = 512) {
    std::vector<Listed> all;
    uint64_t offset = 0;
    while (true) {
      const Result result = Do(kP9ReadDir, ReadArguments(fid, offset, count), count + 4);
      EXPECT_EQ(result.error, 0);
      if (result.error != 0 || result.data.size() <= 4) return all;
      EXPECT_EQ(result.As<base::Le32>().value() + 4, result.data.size());
      EXPECT_LE(result.data.size(), count + 4);
      for (size_t at = 4; at < result.data.size();) {
        Listed listed;
        std::memcpy(&listed.entry, &result.data[at], sizeof(listed.entry));
        at += sizeof(listed.entry);
        const uint16_t size = listed.entry.name_size.value();
        listed.name.assign(reinterpret_cast<const char*>(result.data.data()) + at, size);
        at += size;
        offset = listed.entry.next_offset.value();
        all.push_back(std::move(listed));
      }
    }
  }

 private:
  static Result Check(const std::optional<Bytes>& data, const P9Header& header, uint8_t type,
                      uint16_t tag) {
    if (!data.has_value()) return {-1, {}};
    EXPECT_EQ(header.size.value(), sizeof(header) + data->size());
    EXPECT_EQ(header.tag.value(), tag);
    Result result = {.error = 0, .data = *data};
    if (header.type != kP9Error) {
      EXPECT_EQ(header.type, type + 1);
      return result;
    }
    EXPECT_EQ(result.data.size(), 4U);
    result.error = static_cast<int>(result.As<base::Le32>().value());
    EXPECT_NE(result.error, 0);
    return result;
  }

  const bool attach_;
  uint16_t tag_ = 100;
  uint32_t fid_ = 1000;
};

inline P9Harness::Options StoreOptions() { return {.closure = std::string(kStoreClosure)}; }

}  // namespace virtio

#endif  // VIRTIO_P9_TESTING_P9_FIXTURES_H_
