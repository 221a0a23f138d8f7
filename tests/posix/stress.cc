// posix-stress FOLDER WORKERS ROUNDS SEED: several processes work on one tree at once.
//
// Each worker has its own files, in folders that all workers use, and knows their contents. It
// makes, writes, appends to, truncates, renames, links and removes these files in an order that
// follows from the seed, and compares the data that it reads. In addition, all workers replace,
// read and remove the same few names; a reader must always find one whole file of one worker. The
// remaining files are left for the host to compare. Prints "STRESS-OK N operations, M files" or
// lines that begin with FAIL.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <string>
#include <utility>

#include "tests/posix/runner.h"
#include "tests/posix/suite.h"

namespace posix {
namespace {

constexpr unsigned kFolders = 6;
constexpr unsigned kNamesPerWorker = 40;
constexpr unsigned kSharedNames = 4;
constexpr size_t kMaxSize = 200000;
constexpr size_t kSharedSize = 20000;

class Random {
 public:
  explicit Random(unsigned long long seed)
      : state_(seed * 2862933555777941757ULL + 3037000493ULL) {}

  unsigned Below(unsigned end) {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<unsigned>(state_ >> 33) % end;
  }

  std::string Bytes(size_t size) {
    std::string bytes(size, '\0');
    for (char& byte : bytes) byte = static_cast<char>(Below(256));
    return bytes;
  }

 private:
  unsigned long long state_;
};

class Worker {
 public:
  Worker(unsigned number, unsigned seed)
      : prefix_("w" + std::to_string(number) + "-"), random_(seed * 1000ULL + number) {}

  void Run(unsigned rounds) {
    for (unsigned round = 0; round < rounds; ++round) Step();
    for (const auto& [path, content] : files_) SAME_TEXT(Content(path), content);
  }

  size_t files() const { return files_.size(); }

 private:
  void Step() {
    switch (random_.Below(12)) {
      case 0:
      case 1:
      case 2:
        return Rewrite();
      case 3:
        return Append();
      case 4:
        return WriteInside();
      case 5:
        return Truncate();
      case 6:
        return Rename();
      case 7:
        return MoveByLink();
      case 8:
        return Remove();
      case 9:
        return Compare();
      case 10:
        return ReplaceShared();
      default:
        return ReadShared();
    }
  }

  std::string AnyPath() {
    return "d" + std::to_string(random_.Below(kFolders)) + "/" + prefix_ +
           std::to_string(random_.Below(kNamesPerWorker));
  }

  // Returns one of the existing files, or null if there is none.
  std::pair<const std::string, std::string>* Pick() {
    if (files_.empty()) return nullptr;
    auto it = files_.begin();
    std::advance(it, random_.Below(static_cast<unsigned>(files_.size())));
    return &*it;
  }

  void Rewrite() {
    const std::string path = AnyPath();
    const std::string content = random_.Bytes(random_.Below(30000));
    Make(path, content);
    files_[path] = content;
  }

  void Append() {
    auto* file = Pick();
    if (file == nullptr || file->second.size() > kMaxSize) return;
    const std::string more = random_.Bytes(random_.Below(9000));
    const int fd = OK(open(file->first.c_str(), O_WRONLY | O_APPEND));
    WriteAll(fd, more);
    OK(close(fd));
    file->second += more;
  }

  void WriteInside() {
    auto* file = Pick();
    if (file == nullptr) return;
    const std::string data = random_.Bytes(1 + random_.Below(5000));
    const size_t at = random_.Below(static_cast<unsigned>(file->second.size()) + 5000);
    const int fd = OK(open(file->first.c_str(), O_RDWR));
    WriteAt(fd, data, static_cast<off_t>(at));
    if (random_.Below(4) == 0) OK(fsync(fd));
    if (at + data.size() > file->second.size()) file->second.resize(at + data.size());
    file->second.replace(at, data.size(), data);
    SAME_TEXT(ReadAt(fd, data.size(), static_cast<off_t>(at)), data);
    OK(close(fd));
  }

  void Truncate() {
    auto* file = Pick();
    if (file == nullptr) return;
    const size_t size = random_.Below(static_cast<unsigned>(file->second.size()) + 3000);
    OK(truncate(file->first.c_str(), static_cast<off_t>(size)));
    file->second.resize(size);
  }

  void Rename() {
    const auto* file = Pick();
    if (file == nullptr) return;
    const std::string from = file->first, to = AnyPath(), content = file->second;
    OK(rename(from.c_str(), to.c_str()));
    files_.erase(from);
    files_[to] = content;
  }

  void MoveByLink() {
    const auto* file = Pick();
    if (file == nullptr) return;
    const std::string from = file->first, to = AnyPath(), content = file->second;
    if (files_.count(to) != 0) {
      FAILS(EEXIST, link(from.c_str(), to.c_str()));
      return;
    }
    OK(link(from.c_str(), to.c_str()));
    OK(unlink(from.c_str()));
    files_.erase(from);
    files_[to] = content;
  }

  void Remove() {
    const std::string path = AnyPath();
    if (files_.erase(path) == 0) {
      FAILS(ENOENT, unlink(path.c_str()));
      return;
    }
    // An open file stays readable after its name is removed.
    const int fd = OK(open(path.c_str(), O_RDONLY));
    const std::string before = ReadAt(fd, 100, 0);
    OK(unlink(path.c_str()));
    SAME_TEXT(ReadAt(fd, 100, 0), before);
    OK(close(fd));
  }

  void Compare() {
    const auto* file = Pick();
    if (file != nullptr) SAME_TEXT(Content(file->first), file->second);
  }

  std::string SharedPath() { return "shared/name-" + std::to_string(random_.Below(kSharedNames)); }

  // All bytes of a shared file are equal, so a mixture of two files would be found.
  void ReplaceShared() {
    const std::string path = SharedPath();
    if (random_.Below(4) == 0) {
      if (unlink(path.c_str()) == -1) EQUAL(errno, ENOENT);
      return;
    }
    const std::string mine = "shared/" + prefix_ + "new";
    Make(mine, std::string(kSharedSize, static_cast<char>('a' + random_.Below(26))));
    OK(rename(mine.c_str(), path.c_str()));
  }

  void ReadShared() {
    const int fd = open(SharedPath().c_str(), O_RDONLY);
    if (fd == -1) {
      EQUAL(errno, ENOENT);
      return;
    }
    const std::string content = ReadAt(fd, 2 * kSharedSize, 0);
    SAME_TEXT(content, std::string(kSharedSize, content.empty() ? '?' : content[0]));
    OK(close(fd));
  }

  std::string prefix_;
  Random random_;
  std::map<std::string, std::string> files_;
};

// Returns a counter, shared with the workers, of the files that they have left.
size_t* SharedCounter() {
  void* memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  HOLDS(memory != MAP_FAILED);
  return static_cast<size_t*>(memory);
}

int Stress(const char* folder, unsigned workers, unsigned rounds, unsigned seed) {
  BeginCase("stress", "");
  OK(chdir(folder));
  for (unsigned i = 0; i < kFolders; ++i) MakeDirectory("d" + std::to_string(i));
  MakeDirectory("shared");
  size_t* files = SharedCounter();
  for (unsigned i = 0; i < workers; ++i) {
    if (OK(fork()) != 0) continue;
    BeginCase("stress worker " + std::to_string(i), "");
    Worker worker(i, seed);
    worker.Run(rounds);
    __atomic_fetch_add(files, worker.files(), __ATOMIC_SEQ_CST);
    _exit(kCasePassed);
  }
  bool passed = true;
  for (unsigned i = 0; i < workers; ++i) {
    int status = 0;
    OK(wait(&status));
    if (WIFSIGNALED(status)) printf("FAIL stress: signal %d\n", WTERMSIG(status));
    passed = passed && status == 0;
  }
  if (passed) printf("STRESS-OK %u operations, %zu files\n", workers * rounds, *files);
  return passed ? 0 : 1;
}

}  // namespace
}  // namespace posix

int main(int count, char** words) {
  if (count != 5) {
    fprintf(stderr, "usage: posix-stress FOLDER WORKERS ROUNDS SEED\n");
    return 2;
  }
  const auto number = [words](int i) {
    return static_cast<unsigned>(strtoul(words[i], nullptr, 10));
  };
  return posix::Stress(words[1], number(2), number(3), number(4));
}
