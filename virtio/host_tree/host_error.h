// How the host's answer to a guest's request of a share is passed on.
#ifndef VIRTIO_HOST_TREE_HOST_ERROR_H_
#define VIRTIO_HOST_TREE_HOST_ERROR_H_

#include <errno.h>

#include <ostream>

namespace virtio {

// 0 for success, or the positive errno that the guest is told. A constant becomes one by itself:
// `return ESTALE;`. A number that is known at run time only does not, so that no count, descriptor
// or negative result is taken for an error. The compiler refuses to have one thrown away.
class [[nodiscard]] HostError {
 public:
  constexpr HostError() = default;
  consteval HostError(int number) : number_(number) {}  // NOLINT(google-explicit-constructor)
  // `number` is 0 or more.
  static constexpr HostError FromErrno(int number) {
    HostError error;
    error.number_ = number;
    return error;
  }
  // Of the host's call that has just failed.
  static HostError Last() { return FromErrno(errno); }
  // Of a host's call that returned `result`: 0 for success; else it has set errno.
  static HostError Of(int result) { return FromErrno(result == 0 ? 0 : errno); }

  constexpr int number() const { return number_; }
  // Nothing can be done about the error, and nobody has to be told.
  void Ignore() const {}

  friend constexpr bool operator==(HostError a, HostError b) { return a.number_ == b.number_; }
  friend constexpr bool operator==(HostError a, int number) { return a.number_ == number; }
  friend std::ostream& operator<<(std::ostream& out, HostError error) {
    return out << "errno " << error.number_;
  }

 private:
  int number_ = 0;
};

}  // namespace virtio

// Ends the function with the error of `expr`, a HostError, unless `expr` succeeded.
#define RETURN_IF_HOST_ERROR(expr)                                           \
  do {                                                                       \
    if (const virtio::HostError error_ = (expr); error_ != 0) return error_; \
  } while (false)

#endif  // VIRTIO_HOST_TREE_HOST_ERROR_H_
