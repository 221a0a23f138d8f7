#include "virtio/host_tree/directory_reader.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "virtio/host_tree/file_name.h"
#include "virtio/host_tree/file_status.h"

namespace virtio {
namespace {

constexpr size_t kListingBytes = 32 << 10;
constexpr size_t kMaxListings = 8;  // directories being read at the same time

// What getdents64 gives: the kernel's struct linux_dirent64, up to the name.
struct HostEntry {
  uint64_t inode;
  int64_t next_offset;
  uint16_t size;
  uint8_t type;
};
constexpr size_t kNameOffset = 19;
static_assert(offsetof(HostEntry, type) + 1 == kNameOffset);

HostError Seek(int fd, uint64_t offset) {
  return lseek(fd, static_cast<off_t>(offset), SEEK_SET) < 0 ? HostError::Last() : 0;
}

}  // namespace

HostError DirectoryReader::ReadClosure(const ClosureView& closure, uint64_t offset, Visitor visit) {
  static constexpr absl::string_view kDots[] = {".", ".."};
  if (offset > INT64_MAX) return EINVAL;
  for (uint64_t i = offset; i < closure.size() + 2; ++i) {
    DirectoryEntry entry;
    entry.next_offset = i + 1;
    if (i < 2) {
      entry.name = kDots[i];
      entry.inode = root_.GuestInode(root_.identity());
      entry.type = DT_DIR;
    } else {
      entry.name = closure[i - 2];
      struct statx status;
      if (root_.Status(root_.fd(), NameBuffer(entry.name).bytes, status) != 0) continue;
      entry.inode = root_.GuestInode(IdentityOf(status));
      entry.type = static_cast<uint8_t>(IFTODT(status.stx_mode));
    }
    if (!visit(entry)) return 0;
  }
  return 0;
}

HostError DirectoryReader::Read(Node& directory, uint64_t offset, Visitor visit, bool looks_up) {
  if (offset > INT64_MAX) return EINVAL;
  const NodeId id = directory.id;
  Listing* listing;
  RETURN_IF_HOST_ERROR(FindListing(directory, offset, listing));
  bool any = false;
  while (true) {
    if (listing->position == listing->size) {
      const long size =
          syscall(SYS_getdents64, listing->fd.get(), listing->bytes.data(), listing->bytes.size());
      if (size < 0) {
        const HostError error = HostError::Last();
        Close(id);
        // ENOENT: the directory was removed while it was read.
        return error == ENOENT ? 0 : error;
      }
      listing->position = 0;
      listing->size = static_cast<size_t>(size);
      if (listing->size == 0) {
        if (!any) Close(id);  // the guest has now seen the end
        return 0;
      }
    }
    HostEntry host;
    const uint8_t* bytes = listing->bytes.data() + listing->position;
    std::memcpy(&host, bytes, kNameOffset);
    DirectoryEntry entry;
    entry.name = reinterpret_cast<const char*>(bytes) + kNameOffset;
    entry.inode = EntryInode(directory, listing->fd.get(), entry.name.data(), host.inode, host.type,
                             looks_up);
    entry.next_offset = static_cast<uint64_t>(host.next_offset);
    entry.type = host.type;
    // A lookup by `visit` closes only listings of nodes that it removes. This directory stays.
    if (!visit(entry)) return 0;
    any = true;
    listing->position += host.size;
    listing->offset = entry.next_offset;
  }
}

uint64_t DirectoryReader::EntryInode(const Node& directory, int fd, const char* name,
                                     uint64_t inode, uint8_t type, bool looks_up) {
  if (std::strcmp(name, ".") == 0) return root_.GuestInode(directory.identity);
  if (std::strcmp(name, "..") == 0) {
    // The guest learns nothing about the directory above the root, not even its number.
    const Node& parent = directory.parent == nullptr ? directory : *directory.parent;
    return root_.GuestInode(parent.identity);
  }
  const EntryNumbers entries = root_.submounts() ? EntryNumbers::kDiffer : root_.kind().entries;
  const bool differs =
      entries == EntryNumbers::kDiffer ||
      (entries == EntryNumbers::kDirectoriesDiffer && (type == DT_DIR || type == DT_UNKNOWN));
  if (struct statx status; differs && !looks_up && root_.Status(fd, name, status) == 0) {
    return root_.GuestInode(IdentityOf(status));
  }
  return root_.GuestInode({.device = directory.identity.device, .inode = inode});
}

HostError DirectoryReader::FindListing(Node& directory, uint64_t offset, Listing*& listing) {
  for (auto it = listings_.begin(); it != listings_.end(); ++it) {
    if (it->id != directory.id) continue;
    listings_.splice(listings_.begin(), listings_, it);
    listing = &listings_.front();
    if (offset != 0 && listing->offset == offset) return 0;
    RETURN_IF_HOST_ERROR(Seek(listing->fd.get(), offset));
    listing->position = listing->size = 0;
    listing->offset = offset;
    return 0;
  }
  base::UniqueFd fd;
  RETURN_IF_HOST_ERROR(opener_.OpenDirectory(directory, fd));
  if (offset != 0) RETURN_IF_HOST_ERROR(Seek(fd.get(), offset));
  if (listings_.size() >= kMaxListings) listings_.pop_back();
  listings_.push_front(
      {directory.id, std::move(fd), offset, 0, 0, std::vector<uint8_t>(kListingBytes)});
  listing = &listings_.front();
  return 0;
}

void DirectoryReader::Close(NodeId directory) {
  listings_.remove_if([directory](const Listing& listing) { return listing.id == directory; });
}

}  // namespace virtio
