// Errors of the host, as the guest gets them.
#ifndef VIRTIO_HOST_TREE_HOST_ERROR_H_
#define VIRTIO_HOST_TREE_HOST_ERROR_H_

#include <errno.h>

#include <ostream>

namespace virtio {

// 0 for success, or the positive errno that the guest gets. A constant converts by itself: `return
// ESTALE;`. A number that is known only at run time does not convert, so that no count, descriptor
// or negative result becomes an error by mistake. The compiler rejects code that ignores a
// HostError.
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
  // Returns the error of the host's call that has just failed.
  static HostError Last() { return FromErrno(errno); }
  // Returns the error of a host's call that returned `result`: 0 for success; any other result
  // means that the call has set errno.
  static HostError Of(int result) { return FromErrno(result == 0 ? 0 : errno); }

  constexpr int number() const { return number_; }
  // Says that nothing can be done about the error and that nobody needs to know of it.
  void Ignore() const {}

  friend constexpr bool operator==(HostError a, HostError b) { return a.number_ == b.number_; }
  friend constexpr bool operator==(HostError a, int number) { return a.number_ == number; }
  // clang-tidy 14 does not know the value of an operator that the compiler derives from another.
  friend constexpr bool operator!=(HostError a, int number) { return a.number_ != number; }
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
