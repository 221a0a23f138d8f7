#include "virtio/host_tree/node_opener.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "virtio/host_tree/host_file.h"

namespace virtio {

HostError NodeOpener::DirectoryFd(Node& node, int& fd) {
  if (node.type != S_IFDIR) return ENOTDIR;
  // Climb to a directory that is open, then open the way down again.
  std::vector<Node*> closed;
  Node* at = &node;
  for (; at->parent != nullptr && at->path_fd < 0; at = at->parent) closed.push_back(at);
  if (closed.size() > kMaxDepth) return ELOOP;
  fd = at->parent == nullptr ? root_.fd() : at->path_fd;
  if (at->parent != nullptr) directories_.Touch(*at);
  while (!closed.empty()) {
    // Only the last directory of a path is compared with its node. If that directory is right, the
    // path was right.
    Node* last = nullptr;
    std::string path;
    do {
      last = closed.back();
      if (last->orphan) return ESTALE;
      closed.pop_back();
      if (!path.empty()) path.push_back('/');
      path.append(last->name().data(), last->name().size());
    } while (!closed.empty() && path.size() + 1 + closed.back()->name().size() < PATH_MAX);
    base::UniqueFd opened;
    RETURN_IF_HOST_ERROR(OpenPathIn(fd, path.c_str(), *last, opened));
    // The cache keeps the newest two open, so `fd` stays valid while the next path is opened.
    fd = opened.get();
    directories_.Keep(*last, std::move(opened));
  }
  return 0;
}

HostError NodeOpener::NodeFd(Node& node, int& fd, base::UniqueFd& opened) {
  if (node.type == S_IFDIR) return DirectoryFd(node, fd);
  fd = node.path_fd;
  if (fd >= 0) {
    directories_.Touch(node);
    return 0;
  }
  if (node.files != nullptr) {
    fd = node.files->fd();
    return 0;
  }
  const HostError error = OpenPath(node, opened);
  fd = opened.get();
  return error;
}

HostError NodeOpener::Open(Node& node, int flags, base::UniqueFd& fd) {
  int path_fd;
  base::UniqueFd path;
  RETURN_IF_HOST_ERROR(NodeFd(node, path_fd, path));
  RETURN_IF_HOST_ERROR(root_.Reopen(path_fd, flags, fd));
  // With O_NONBLOCK, a ring would fail reads that have to wait for the disk.
  return HostError::Of(fcntl(fd.get(), F_SETFL, flags & O_APPEND));
}

HostError NodeOpener::OpenDirectory(Node& node, base::UniqueFd& fd) {
  int path_fd;
  RETURN_IF_HOST_ERROR(DirectoryFd(node, path_fd));
  // "." is the directory itself, even if the directory has lost its name.
  return root_.OpenIn(path_fd, ".", O_RDONLY | O_DIRECTORY, fd);
}

HostError NodeOpener::OpenPath(Node& node, base::UniqueFd& fd) {
  if (node.orphan) return ESTALE;
  int parent_fd;
  RETURN_IF_HOST_ERROR(DirectoryFd(*node.parent, parent_fd));
  return OpenPathIn(parent_fd, node.name().data(), node, fd);
}

HostError NodeOpener::OpenPathIn(int directory_fd, const char* path, const Node& node,
                                 base::UniqueFd& fd) {
  // O_DIRECTORY is missing on purpose: it would make the host mount what is mounted on demand.
  const HostError error = root_.OpenIn(directory_fd, path, O_PATH, fd);
  if (error != 0) return error == ENOENT || error == ENOTDIR || error == ELOOP ? ESTALE : error;
  SeenFile seen;
  RETURN_IF_HOST_ERROR(root_.Look(fd.get(), "", seen));
  return HostError::FromErrno(seen.identity == node.identity ? 0 : ESTALE);
}

HostError NodeOpener::Status(Node& node, struct statx& status) {
  if (node.parent == nullptr) return root_.Status(root_.fd(), "", status);
  if (node.path_fd >= 0) return root_.Status(node.path_fd, "", status);
  if (node.files != nullptr) return root_.Status(node.files->fd(), "", status);
  if (node.orphan) return ESTALE;
  int parent_fd;
  RETURN_IF_HOST_ERROR(DirectoryFd(*node.parent, parent_fd));
  SeenFile seen;
  if (const HostError error = root_.Look(parent_fd, node.name().data(), seen); error != 0) {
    return error == ENOENT ? ESTALE : error;
  }
  if (!(seen.identity == node.identity)) return ESTALE;
  if (seen.pin.valid()) directories_.Keep(node, std::move(seen.pin));
  status = seen.status;
  return 0;
}

HostError NodeOpener::ReadLink(Node& node, std::string& target) {
  if (node.type != S_IFLNK) return EINVAL;
  int fd = node.path_fd;
  const char* name = "";  // for the file of `fd` itself
  if (fd < 0) {
    if (node.orphan) return ESTALE;
    RETURN_IF_HOST_ERROR(DirectoryFd(*node.parent, fd));
    name = node.name().data();
  }
  target.resize(PATH_MAX);
  const ssize_t size = readlinkat(fd, name, target.data(), target.size());
  if (size < 0) return errno == ENOENT || errno == EINVAL ? ESTALE : HostError::Last();
  if (static_cast<size_t>(size) >= target.size()) return ENAMETOOLONG;
  target.resize(static_cast<size_t>(size));
  return 0;
}

}  // namespace virtio
