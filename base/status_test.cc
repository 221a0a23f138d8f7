#include "base/status.h"

#include <errno.h>

#include <memory>

#include "gtest/gtest.h"

namespace base {
namespace {

TEST(Status, ErrnoStatusNamesObjectTextAndErrno) {
  const absl::Status status = ErrnoStatus(ENOENT, "disks[0].path: /x.raw: cannot open");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(),
            "disks[0].path: /x.raw: cannot open: No such file or directory (ENOENT)");
}

TEST(Status, ErrnoStatusTakesAnyNumber) {
  EXPECT_EQ(ErrnoStatus(99999, "x").message(), "x: unknown error (?)");
}

TEST(Status, AnnotateKeepsCodeAndOk) {
  EXPECT_EQ(Annotate(absl::NotFoundError("gone"), "net[1]"), absl::NotFoundError("net[1]: gone"));
  EXPECT_TRUE(Annotate(absl::OkStatus(), "net[1]").ok());
}

absl::StatusOr<std::unique_ptr<int>> Make(int value) {
  if (value < 0) return absl::OutOfRangeError("negative");
  return std::make_unique<int>(value);
}

absl::StatusOr<int> Sum(int a, int b) {
  ASSIGN_OR_RETURN(const std::unique_ptr<int> first, Make(a));
  ASSIGN_OR_RETURN(const std::unique_ptr<int> second, Make(b));
  return *first + *second;
}

absl::Status Check(int a, int& evaluated) {
  RETURN_IF_ERROR((++evaluated, Make(a).status()));
  return absl::AlreadyExistsError("went on");
}

TEST(Status, AdviseSaysWhatToDoAndKeepsCodeAndOk) {
  EXPECT_EQ(Advise(absl::NotFoundError("/x: cannot open"), "name a file"),
            absl::NotFoundError("/x: cannot open; name a file"));
  EXPECT_TRUE(Advise(absl::OkStatus(), "nothing").ok());
}

TEST(Status, MacrosPropagateErrorsAndEvaluateOnce) {
  EXPECT_EQ(Sum(1, 2).value(), 3);
  EXPECT_EQ(Sum(1, -2).status(), absl::OutOfRangeError("negative"));
  EXPECT_EQ(Sum(-1, 2).status(), absl::OutOfRangeError("negative"));
  int evaluated = 0;
  EXPECT_EQ(Check(-1, evaluated), absl::OutOfRangeError("negative"));
  EXPECT_EQ(Check(1, evaluated), absl::AlreadyExistsError("went on"));
  EXPECT_EQ(evaluated, 2);
}

}  // namespace
}  // namespace base
