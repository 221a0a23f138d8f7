// Reading directories of a HostTree.

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "virtio/host_tree/file_status.h"
#include "virtio/host_tree/host_tree.h"

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

}  // namespace

HostError HostTree::ReadDirectory(NodeId id, uint64_t offset,
                                  absl::FunctionRef<bool(const DirectoryEntry&)> visit,
                                  bool looks_up) {
  Node* node = nodes_.Find(id);
  if (node == nullptr) return ESTALE;
  if (node->type != S_IFDIR) return ENOTDIR;
  if (offset > INT64_MAX) return EINVAL;
  if (id == kRootNode && has_closure()) return ReadClosureRoot(offset, visit);
  return ReadHostDirectory(*node, offset, visit, looks_up);
}

// Offsets count entries: ".", "..", then the closure's names in the order in which they came.
HostError HostTree::ReadClosureRoot(uint64_t offset,
                                    absl::FunctionRef<bool(const DirectoryEntry&)> visit) {
  static constexpr absl::string_view kDots[] = {".", ".."};
  for (uint64_t i = offset; i < closure_->size() + 2; ++i) {
    DirectoryEntry entry;
    entry.next_offset = i + 1;
    if (i < 2) {
      entry.name = kDots[i];
      entry.inode = NumberOf(nodes_.root());
      entry.type = DT_DIR;
    } else {
      entry.name = (*closure_)[i - 2];
      struct statx status;
      if (Status(root_.get(), std::string(entry.name).c_str(), status) != 0) continue;
      entry.inode = numbers_.ToGuest(IdentityOf(status).device, status.stx_ino);
      entry.type = static_cast<uint8_t>(IFTODT(status.stx_mode));
    }
    if (!visit(entry)) return 0;
  }
  return 0;
}

HostError HostTree::ReadHostDirectory(Node& node, uint64_t offset,
                                      absl::FunctionRef<bool(const DirectoryEntry&)> visit,
                                      bool looks_up) {
  const NodeId id = node.id;
  HostError failed = 0;
  Listing* listing = FindListing(node, offset, failed);
  if (listing == nullptr) return failed;
  bool any = false;
  while (true) {
    if (listing->position == listing->size) {
      const long size =
          syscall(SYS_getdents64, listing->fd.get(), listing->bytes.data(), listing->bytes.size());
      if (size < 0) {
        // ENOENT: the directory was removed while it was read.
        const HostError error = HostError::Last();
        DropListing(id);
        return error == ENOENT ? 0 : error;
      }
      listing->position = 0;
      listing->size = static_cast<size_t>(size);
      if (size == 0) {
        if (!any) DropListing(id);  // the guest knows now; no need to keep it
        return 0;
      }
    }
    HostEntry host;
    const uint8_t* bytes = listing->bytes.data() + listing->position;
    std::memcpy(&host, bytes, kNameOffset);
    DirectoryEntry entry;
    entry.name = reinterpret_cast<const char*>(bytes) + kNameOffset;
    entry.inode =
        EntryNumber(node, listing->fd.get(), entry.name.data(), host.inode, host.type, looks_up);
    entry.next_offset = static_cast<uint64_t>(host.next_offset);
    entry.type = host.type;
    // `visit` may look names up, which drops no listing but those of nodes that are gone.
    if (!visit(entry)) return 0;
    any = true;
    listing->position += host.size;
    listing->offset = entry.next_offset;
  }
}

uint64_t HostTree::EntryNumber(const Node& directory, int fd, const char* name, uint64_t inode,
                               uint8_t type, bool looks_up) {
  if (std::strcmp(name, ".") == 0) return NumberOf(directory);
  if (std::strcmp(name, "..") == 0) {
    // What is above the root is nothing to the guest, not even by number.
    return NumberOf(directory.parent == nullptr ? directory : *directory.parent);
  }
  const EntryNumbers entries = options_.submounts ? EntryNumbers::kDiffer : root_kind_.entries;
  const bool differs =
      entries == EntryNumbers::kDiffer ||
      (entries == EntryNumbers::kDirectoriesDiffer && (type == DT_DIR || type == DT_UNKNOWN));
  if (struct statx status; differs && !looks_up && Status(fd, name, status) == 0) {
    return numbers_.ToGuest(IdentityOf(status).device, status.stx_ino);
  }
  return numbers_.ToGuest(directory.identity.device, inode);
}

HostTree::Listing* HostTree::FindListing(Node& node, uint64_t offset, HostError& error) {
  const auto seek = [offset, &error](int fd) {
    if (lseek(fd, static_cast<off_t>(offset), SEEK_SET) >= 0) return true;
    error = HostError::Last();
    return false;
  };
  for (auto it = listings_.begin(); it != listings_.end(); ++it) {
    if (it->id != node.id) continue;
    listings_.splice(listings_.begin(), listings_, it);
    Listing& listing = listings_.front();
    if (offset != 0 && listing.offset == offset) return &listing;
    if (!seek(listing.fd.get())) return nullptr;
    listing.position = listing.size = 0;
    listing.offset = offset;
    return &listing;
  }
  int fd = -1;
  base::UniqueFd opened;
  error = DirectoryFd(node, fd);
  // "." is the directory itself, whatever has become of its name.
  if (error == 0) error = OpenIn(fd, ".", O_RDONLY | O_DIRECTORY, opened);
  if (error != 0 || (offset != 0 && !seek(opened.get()))) return nullptr;
  if (listings_.size() >= kMaxListings) listings_.pop_back();
  listings_.push_front({node.id, std::move(opened), offset, 0, 0, std::vector<uint8_t>()});
  listings_.front().bytes.resize(kListingBytes);
  return &listings_.front();
}

void HostTree::DropListing(NodeId id) {
  listings_.remove_if([id](const Listing& listing) { return listing.id == id; });
}

}  // namespace virtio
