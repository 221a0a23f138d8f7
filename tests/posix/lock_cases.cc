// Advisory locks: fcntl(2) of the process (POSIX) and of the open file description (OFD), flock(2).

#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <functional>

#include "tests/posix/suite.h"

namespace posix {
namespace {

struct flock Range(short type, off_t start, off_t length) {
  struct flock range = {};
  range.l_type = type;
  range.l_whence = SEEK_SET;
  range.l_start = start;
  range.l_len = length;
  return range;
}

int Lock(int fd, int command, short type, off_t start = 0, off_t length = 0) {
  struct flock range = Range(type, start, length);
  return fcntl(fd, command, &range);
}

// Returns the type of the lock that prevents a write lock of this range, or F_UNLCK.
short Obstacle(int fd, int command, off_t start = 0, off_t length = 0) {
  struct flock range = Range(F_WRLCK, start, length);
  OK(fcntl(fd, command, &range));
  return range.l_type;
}

int NewFile() {
  Make("file", "content");
  return OK(open("file", O_RDWR));
}

int Another() { return OK(open("file", O_RDWR)); }

// A second process that runs a function, then waits; its locks end with the process.
class Holder {
 public:
  explicit Holder(const std::function<void()>& lock) {
    int ready[2];
    OK(pipe(ready));
    child_ = OK(fork());
    if (child_ == 0) {
      lock();
      EQUAL(write(ready[1], "x", 1), 1);
      pause();
      _exit(0);
    }
    OK(close(ready[1]));
    char byte = 0;
    EQUAL(read(ready[0], &byte, 1), 1);
    OK(close(ready[0]));
  }

  void End() {
    OK(kill(child_, SIGKILL));
    OK(waitpid(child_, nullptr, 0));
  }

  pid_t pid() const { return child_; }

 private:
  pid_t child_;
};

// --- locks of the process ---

POSIX_CASE(posix_lock, of_another_process_is_eagain) {
  const int fd = NewFile();
  Holder holder([] { OK(Lock(Another(), F_SETLK, F_WRLCK)); });
  FAILS(EAGAIN, Lock(fd, F_SETLK, F_WRLCK));
  FAILS(EAGAIN, Lock(fd, F_SETLK, F_RDLCK));
  holder.End();
  OK(Lock(fd, F_SETLK, F_WRLCK));
}

POSIX_CASE(posix_lock, readers_share) {
  const int fd = NewFile();
  Holder holder([] { OK(Lock(Another(), F_SETLK, F_RDLCK)); });
  OK(Lock(fd, F_SETLK, F_RDLCK));
  FAILS(EAGAIN, Lock(fd, F_SETLK, F_WRLCK));
  holder.End();
}

POSIX_CASE(posix_lock, disjoint_ranges_do_not_conflict) {
  const int fd = NewFile();
  Holder holder([] { OK(Lock(Another(), F_SETLK, F_WRLCK, 10, 10)); });
  OK(Lock(fd, F_SETLK, F_WRLCK, 0, 10));
  OK(Lock(fd, F_SETLK, F_WRLCK, 20, 0));
  FAILS(EAGAIN, Lock(fd, F_SETLK, F_WRLCK, 19, 1));
  holder.End();
}

POSIX_CASE(posix_lock, getlk_names_the_holder) {
  const int fd = NewFile();
  Holder holder([] { OK(Lock(Another(), F_SETLK, F_WRLCK, 100, 50)); });
  struct flock range = Range(F_WRLCK, 0, 0);
  OK(fcntl(fd, F_GETLK, &range));
  EQUAL(range.l_type, F_WRLCK);
  EQUAL(range.l_start, 100);
  EQUAL(range.l_len, 50);
  EQUAL(range.l_pid, holder.pid());
  holder.End();
  EQUAL(Obstacle(fd, F_GETLK), F_UNLCK);
}

POSIX_CASE(posix_lock, of_the_same_process_replaces) {
  const int fd = NewFile();
  OK(Lock(fd, F_SETLK, F_WRLCK));
  OK(Lock(Another(), F_SETLK, F_RDLCK));
  InChild([] { OK(Lock(Another(), F_SETLK, F_RDLCK)); });
}

POSIX_CASE(posix_lock, middle_is_unlocked) {
  const int fd = NewFile();
  OK(Lock(fd, F_SETLK, F_WRLCK, 0, 30));
  OK(Lock(fd, F_SETLK, F_UNLCK, 10, 10));
  InChild([] {
    const int other = Another();
    EQUAL(Obstacle(other, F_GETLK, 0, 10), F_WRLCK);
    EQUAL(Obstacle(other, F_GETLK, 10, 10), F_UNLCK);
    EQUAL(Obstacle(other, F_GETLK, 20, 10), F_WRLCK);
  });
}

POSIX_CASE(posix_lock, closing_any_descriptor_unlocks) {
  const int fd = NewFile();
  OK(Lock(fd, F_SETLK, F_WRLCK));
  OK(close(Another()));
  InChild([] { OK(Lock(Another(), F_SETLK, F_WRLCK)); });
}

POSIX_CASE(posix_lock, child_does_not_inherit) {
  const int fd = NewFile();
  OK(Lock(fd, F_SETLK, F_WRLCK));
  InChild([fd] { FAILS(EAGAIN, Lock(fd, F_SETLK, F_WRLCK)); });
}

POSIX_CASE(posix_lock, waits_until_it_is_free) {
  const int fd = NewFile();
  Holder holder([] { OK(Lock(Another(), F_SETLK, F_WRLCK)); });
  const pid_t killer = OK(fork());
  if (killer == 0) {
    usleep(100000);
    kill(holder.pid(), SIGKILL);
    _exit(0);
  }
  OK(Lock(fd, F_SETLKW, F_WRLCK));
  int status = 0;
  OK(waitpid(killer, &status, 0));
}

POSIX_CASE(posix_lock, waiting_ends_by_a_signal) {
  const int fd = NewFile();
  Holder holder([] { OK(Lock(Another(), F_SETLK, F_WRLCK)); });
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  OK(sigaction(SIGUSR1, &action, nullptr));
  const pid_t waiter = getpid();
  const pid_t sender = OK(fork());
  if (sender == 0) {
    for (;;) {  // the first signal may come before the wait
      usleep(100000);
      kill(waiter, SIGUSR1);
    }
  }
  FAILS(EINTR, Lock(fd, F_SETLKW, F_WRLCK));
  OK(kill(sender, SIGKILL));
  holder.End();
}

POSIX_CASE(posix_lock, write_lock_needs_a_writable_descriptor) {
  Make("file");
  FAILS(EBADF, Lock(OK(open("file", O_RDONLY)), F_SETLK, F_WRLCK));
  FAILS(EBADF, Lock(OK(open("file", O_WRONLY)), F_SETLK, F_RDLCK));
}

POSIX_CASE(posix_lock, far_ranges) {
  const int fd = NewFile();
  OK(Lock(fd, F_SETLK, F_WRLCK, 5LL << 30, 1));
  InChild([] {
    const int other = Another();
    FAILS(EAGAIN, Lock(other, F_SETLK, F_WRLCK, 5LL << 30, 1));
    OK(Lock(other, F_SETLK, F_WRLCK, 0, 5LL << 30));
  });
}

POSIX_CASE(posix_lock, lockf_sets_the_same_locks) {
  const int fd = NewFile();
  OK(lockf(fd, F_TLOCK, 0));
  InChild([] { FAILS(EAGAIN, lockf(Another(), F_TEST, 0) == -1 ? (errno = EAGAIN, -1) : 0); });
  OK(lockf(fd, F_ULOCK, 0));
  InChild([] { OK(lockf(Another(), F_TLOCK, 0)); });
}

POSIX_CASE(posix_lock, unlinked_file) {
  const int fd = NewFile();
  const int other = Another();
  OK(unlink("file"));
  OK(Lock(fd, F_SETLK, F_WRLCK));
  InChild([other] { FAILS(EAGAIN, Lock(other, F_SETLK, F_WRLCK)); });
}

// --- locks of the open file description ---

POSIX_CASE(ofd_lock, two_descriptors_of_one_process_conflict) {
  const int fd = NewFile();
  const int other = Another();
  OK(Lock(fd, F_OFD_SETLK, F_WRLCK));
  FAILS(EAGAIN, Lock(other, F_OFD_SETLK, F_WRLCK));
  FAILS(EAGAIN, Lock(other, F_OFD_SETLK, F_RDLCK));
  OK(Lock(fd, F_OFD_SETLK, F_UNLCK));
  OK(Lock(other, F_OFD_SETLK, F_WRLCK));
}

POSIX_CASE(ofd_lock, closing_another_descriptor_keeps_it) {
  const int fd = NewFile();
  OK(Lock(fd, F_OFD_SETLK, F_WRLCK));
  OK(close(Another()));
  FAILS(EAGAIN, Lock(Another(), F_OFD_SETLK, F_WRLCK));
}

POSIX_CASE(ofd_lock, last_close_unlocks) {
  const int fd = NewFile();
  const int other = Another();
  OK(Lock(fd, F_OFD_SETLK, F_WRLCK));
  OK(close(fd));
  OK(Lock(other, F_OFD_SETLK, F_WRLCK));
}

POSIX_CASE(ofd_lock, child_shares_it) {
  const int fd = NewFile();
  OK(Lock(fd, F_OFD_SETLK, F_WRLCK));
  InChild([fd] { OK(Lock(fd, F_OFD_SETLK, F_RDLCK)); });
}

POSIX_CASE(ofd_lock, conflicts_with_process_locks) {
  const int fd = NewFile();
  OK(Lock(fd, F_OFD_SETLK, F_WRLCK, 0, 10));
  InChild([] {
    const int other = Another();
    FAILS(EAGAIN, Lock(other, F_SETLK, F_WRLCK, 5, 1));
    OK(Lock(other, F_SETLK, F_WRLCK, 10, 1));
  });
}

POSIX_CASE(ofd_lock, getlk_names_no_process) {
  const int fd = NewFile();
  OK(Lock(fd, F_OFD_SETLK, F_WRLCK, 7, 3));
  struct flock range = Range(F_WRLCK, 0, 0);
  OK(fcntl(Another(), F_OFD_GETLK, &range));
  EQUAL(range.l_type, F_WRLCK);
  EQUAL(range.l_start, 7);
  EQUAL(range.l_pid, -1);
}

// --- flock ---

POSIX_CASE(flock, exclusive_is_alone) {
  const int fd = NewFile();
  const int other = Another();
  OK(flock(fd, LOCK_EX));
  FAILS(EWOULDBLOCK, flock(other, LOCK_EX | LOCK_NB));
  FAILS(EWOULDBLOCK, flock(other, LOCK_SH | LOCK_NB));
  OK(flock(fd, LOCK_UN));
  OK(flock(other, LOCK_EX | LOCK_NB));
}

POSIX_CASE(flock, shared_is_shared) {
  const int fd = NewFile();
  const int other = Another();
  OK(flock(fd, LOCK_SH));
  OK(flock(other, LOCK_SH | LOCK_NB));
  FAILS(EWOULDBLOCK, flock(other, LOCK_EX | LOCK_NB));
}

POSIX_CASE(flock, of_another_process) {
  const int fd = NewFile();
  Holder holder([] { OK(flock(Another(), LOCK_EX)); });
  FAILS(EWOULDBLOCK, flock(fd, LOCK_EX | LOCK_NB));
  holder.End();
  OK(flock(fd, LOCK_EX | LOCK_NB));
}

POSIX_CASE(flock, readonly_descriptor_locks_exclusively) {
  Make("file");
  OK(flock(OK(open("file", O_RDONLY)), LOCK_EX | LOCK_NB));
}

POSIX_CASE(flock, last_close_unlocks) {
  const int fd = NewFile();
  const int copy = OK(dup(fd));
  OK(flock(fd, LOCK_EX));
  OK(close(fd));
  FAILS(EWOULDBLOCK, flock(Another(), LOCK_EX | LOCK_NB));
  OK(close(copy));
  OK(flock(Another(), LOCK_EX | LOCK_NB));
}

POSIX_CASE(flock, upgraded_and_downgraded) {
  const int fd = NewFile();
  OK(flock(fd, LOCK_SH));
  OK(flock(fd, LOCK_EX | LOCK_NB));
  FAILS(EWOULDBLOCK, flock(Another(), LOCK_SH | LOCK_NB));
  OK(flock(fd, LOCK_SH | LOCK_NB));
  OK(flock(Another(), LOCK_SH | LOCK_NB));
}

POSIX_CASE(flock, of_a_directory) {
  MakeDirectory("directory");
  OK(flock(OK(open("directory", O_RDONLY)), LOCK_EX | LOCK_NB));
  FAILS(EWOULDBLOCK, flock(OK(open("directory", O_RDONLY)), LOCK_EX | LOCK_NB));
}

POSIX_CASE(flock, does_not_conflict_with_fcntl) {
  const int fd = NewFile();
  OK(flock(fd, LOCK_EX));
  InChild([] { OK(Lock(Another(), F_SETLK, F_WRLCK)); });
}

}  // namespace
}  // namespace posix
