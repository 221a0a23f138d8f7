#include "base/unique_fd.h"

#include <fcntl.h>

#include "gtest/gtest.h"

namespace base {
namespace {

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }
int OpenNull() { return open("/dev/null", O_RDONLY | O_CLOEXEC); }

TEST(UniqueFd, ClosesWhenDestroyed) {
  int fd;
  {
    UniqueFd owner(OpenNull());
    fd = owner.get();
    EXPECT_TRUE(owner.valid());
    EXPECT_TRUE(IsOpen(fd));
  }
  EXPECT_FALSE(IsOpen(fd));
  EXPECT_FALSE(UniqueFd().valid());
}

TEST(UniqueFd, MovesOwnershipAndClosesWhatItHeld) {
  UniqueFd a(OpenNull());
  UniqueFd b(OpenNull());
  const int first = a.get();
  const int second = b.get();
  b = std::move(a);
  EXPECT_EQ(b.get(), first);
  EXPECT_FALSE(IsOpen(second));
  UniqueFd c(std::move(b));
  EXPECT_EQ(c.get(), first);
  UniqueFd& self = c;
  c = std::move(self);
  EXPECT_TRUE(IsOpen(first));
}

TEST(UniqueFd, ReleaseGivesUpAndResetReplaces) {
  UniqueFd a(OpenNull());
  const int fd = a.release();
  EXPECT_FALSE(a.valid());
  EXPECT_TRUE(IsOpen(fd));
  a.reset(fd);
  a.reset();
  EXPECT_FALSE(IsOpen(fd));
}

}  // namespace
}  // namespace base
