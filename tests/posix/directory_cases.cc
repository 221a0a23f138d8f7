// Names and lists of names: valid names, readdir(3), telldir(3), changes during a listing.

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/posix/suite.h"

namespace posix {
namespace {

// --- names ---

struct NameRow {
  const char* name;
  std::string file;
};

std::string Bytes(int first, int last) {
  std::string bytes;
  for (int byte = first; byte <= last; ++byte) {
    if (byte != '/') bytes.push_back(static_cast<char>(byte));
  }
  return bytes;
}

const NameRow kNameRows[] = {
    {"one_byte", "x"},
    {"255_bytes", std::string(255, 'n')},
    {"bytes_1_to_127", Bytes(1, 127)},
    {"bytes_128_to_255", Bytes(128, 255)},
    {"space", " "},
    {"newline", "\n"},
    {"three_dots", "..."},
    {"leading_dash", "-rf"},
    {"backslash", "\\"},
    {"invalid_utf8", "\xff\xfe"},
    {"cut_utf8", "\xe2\x82"},
    {"utf8", "\xe2\x82\xac-\xc3\xa4"},
    {"255_bytes_of_utf8",
     [] {
       std::string name;
       for (int i = 0; i < 85; ++i) name += "\xe2\x82\xac";
       return name;
     }()},
};

void RunNameRow(const NameRow& row) {
  Make(row.file, "content");
  SAME_TEXT(Content(row.file), "content");
  SAME_TEXT(Names(".").front(), row.file);
  OK(rename(row.file.c_str(), "plain"));
  OK(rename("plain", row.file.c_str()));
  OK(link(row.file.c_str(), "plain"));
  OK(unlink(row.file.c_str()));
  HOLDS(!Exists(row.file));
  MakeDirectory(row.file);
  Make(row.file + "/" + row.file, "inner");
  SAME_TEXT(Names(row.file).front(), row.file);
}

bool Register() {
  for (const NameRow& row : kNameRows) {
    Registered(std::string("name.") + row.name, [&row] { RunNameRow(row); });
  }
  return true;
}

const bool kRegistered = Register();

POSIX_CASE(name, of_256_bytes_is_too_long) {
  const std::string name(256, 'n');
  Make("file");
  FAILS(ENAMETOOLONG, open(name.c_str(), O_CREAT | O_RDWR, 0644));
  FAILS(ENAMETOOLONG, open(name.c_str(), O_RDONLY));
  FAILS(ENAMETOOLONG, mkdir(name.c_str(), 0755));
  FAILS(ENAMETOOLONG, link("file", name.c_str()));
  FAILS(ENAMETOOLONG, symlink("file", name.c_str()));
  FAILS(ENAMETOOLONG, unlink(name.c_str()));
  FAILS(ENAMETOOLONG, mkfifo(name.c_str(), 0644));
}

POSIX_CASE(name, path_of_4096_bytes_is_too_long) {
  std::string path = ".";
  while (path.size() < PATH_MAX) path += "/.";
  FAILS(ENAMETOOLONG, open(path.c_str(), O_RDONLY));
  path.resize(PATH_MAX - 1);  // ends in "." or "/"
  OK(open(path.c_str(), O_RDONLY));
}

POSIX_CASE(name, is_case_sensitive) {
  Make("name", "small");
  Make("NAME", "big");
  SAME_TEXT(Content("name"), "small");
  EQUAL(Names(".").size(), 2);
}

POSIX_CASE(name, missing_then_made_then_gone) {
  for (int i = 0; i < 20; ++i) {
    FAILS(ENOENT, open("file", O_RDONLY));
    Make("file", std::to_string(i));
    SAME_TEXT(Content("file"), std::to_string(i));
    OK(unlink("file"));
  }
}

POSIX_CASE(name, file_then_directory_then_link) {
  for (int i = 0; i < 10; ++i) {
    Make("name", "content");
    HOLDS(S_ISREG(Lstat("name").st_mode));
    OK(unlink("name"));
    MakeDirectory("name");
    HOLDS(S_ISDIR(Lstat("name").st_mode));
    OK(rmdir("name"));
    OK(symlink("x", "name"));
    HOLDS(S_ISLNK(Lstat("name").st_mode));
    OK(unlink("name"));
  }
}

POSIX_CASE(name, dot_and_dotdot) {
  MakeDirectory("a");
  MakeDirectory("a/b");
  EQUAL(Stat("a/b/.").st_ino, Stat("a/b").st_ino);
  EQUAL(Stat("a/b/..").st_ino, Stat("a").st_ino);
  EQUAL(Stat("a/b/../..").st_ino, Stat(".").st_ino);
  EQUAL(Stat("a//b///").st_ino, Stat("a/b").st_ino);
}

// --- lists ---

class Listing {
 public:
  explicit Listing(const char* path) : directory_(opendir(path)) { HOLDS(directory_ != nullptr); }
  ~Listing() { closedir(directory_); }
  Listing(const Listing&) = delete;
  Listing& operator=(const Listing&) = delete;

  const dirent* Next() {
    errno = 0;
    const dirent* entry = readdir(directory_);
    if (entry == nullptr) EQUAL(errno, 0);
    return entry;
  }
  // Returns how often each name occurs from here to the end.
  std::map<std::string, int> Rest() {
    std::map<std::string, int> names;
    while (const dirent* entry = Next()) ++names[entry->d_name];
    return names;
  }
  DIR* get() { return directory_; }

 private:
  DIR* directory_;
};

// Returns a name so long that a list of such names takes several calls.
std::string LongName(int number) { return std::string(200, 'n') + std::to_string(number); }

void Fill(int count) {
  MakeDirectory("many");
  OK(chdir("many"));
  for (int i = 0; i < count; ++i) OK(mknod(LongName(i).c_str(), S_IFREG | 0644, 0));
  OK(chdir(".."));
}

void CheckAll(const std::map<std::string, int>& names, int count) {
  EQUAL(names.size(), count + 2);
  for (const auto& [name, times] : names) {
    if (times != 1)
      Fail(__FILE__, __LINE__, name + " is listed " + std::to_string(times) + " times");
  }
}

POSIX_CASE(readdir, empty_directory_has_dot_and_dotdot) {
  MakeDirectory("empty");
  const auto names = Listing("empty").Rest();
  EQUAL(names.size(), 2);
  EQUAL(names.count("."), 1);
  EQUAL(names.count(".."), 1);
}

POSIX_CASE(readdir, each_name_once) {
  Fill(250);
  CheckAll(Listing("many").Rest(), 250);
}

POSIX_CASE(readdir, types_and_inodes_are_those_of_stat) {
  Make("file");
  MakeDirectory("directory");
  OK(symlink("x", "link"));
  OK(mkfifo("fifo", 0644));
  OK(mknod("socket", S_IFSOCK | 0644, 0));
  Listing listing(".");
  while (const dirent* entry = listing.Next()) {
    const std::string name = entry->d_name;
    if (name == "..") continue;
    const struct stat state = Lstat(name);
    EQUAL(entry->d_ino, state.st_ino);
    if (entry->d_type != DT_UNKNOWN) EQUAL(DTTOIF(entry->d_type), state.st_mode & S_IFMT);
  }
}

POSIX_CASE(readdir, rewind_shows_what_was_made) {
  Fill(10);
  Listing listing("many");
  CheckAll(listing.Rest(), 10);
  Make("many/new");
  rewinddir(listing.get());
  CheckAll(listing.Rest(), 11);
  OK(unlink("many/new"));
  rewinddir(listing.get());
  CheckAll(listing.Rest(), 10);
}

POSIX_CASE(readdir, telldir_and_seekdir) {
  Fill(250);
  Listing listing("many");
  std::vector<std::pair<long, std::string>> places;
  for (;;) {
    const long place = telldir(listing.get());
    const dirent* entry = listing.Next();
    if (entry == nullptr) break;
    places.emplace_back(place, entry->d_name);
  }
  for (size_t i = 0; i < places.size(); i += 23) {
    seekdir(listing.get(), places[i].first);
    const dirent* entry = listing.Next();
    HOLDS(entry != nullptr);
    SAME_TEXT(entry->d_name, places[i].second);
  }
}

POSIX_CASE(readdir, removed_while_listing) {
  Fill(200);
  Listing listing("many");
  int seen = 0;
  while (const dirent* entry = listing.Next()) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    OK(unlink(("many/" + name).c_str()));
    ++seen;
  }
  EQUAL(seen, 200);
  HOLDS(Names("many").empty());
}

POSIX_CASE(readdir, made_while_listing_hides_nothing) {
  Fill(200);
  Listing listing("many");
  std::map<std::string, int> names;
  for (int i = 0; const dirent* entry = listing.Next(); ++i) {
    ++names[entry->d_name];
    if (i < 50) Make("many/new-" + std::to_string(i));
  }
  for (int i = 0; i < 200; ++i) EQUAL(names[LongName(i)], 1);
}

POSIX_CASE(readdir, removed_elsewhere_while_listing) {
  Fill(240);
  Listing listing("many");
  std::set<std::string> seen;
  while (seen.size() < 40) {
    const dirent* entry = listing.Next();
    HOLDS(entry != nullptr);
    if (entry == nullptr) return;
    seen.insert(entry->d_name);
  }
  for (int i = 0; i < 240; i += 2) OK(unlink(("many/" + LongName(i)).c_str()));
  for (const auto& [name, times] : listing.Rest()) {
    EQUAL(times, 1);
    HOLDS(seen.insert(name).second);
  }
  for (int i = 1; i < 240; i += 2) EQUAL(seen.count(LongName(i)), 1);
}

POSIX_CASE(readdir, two_listings_do_not_disturb_each_other) {
  Fill(200);
  Listing first("many"), second("many");
  for (int i = 0; i < 50; ++i) HOLDS(first.Next() != nullptr);
  CheckAll(second.Rest(), 200);
  EQUAL(first.Rest().size(), 152);
}

POSIX_CASE(readdir, removed_directory_is_empty) {
  MakeDirectory("directory");
  Listing listing("directory");
  OK(rmdir("directory"));
  for (const auto& [name, times] : listing.Rest()) HOLDS(name == "." || name == "..");
}

POSIX_CASE(readdir, file_is_enotdir) {
  Make("file");
  HOLDS(opendir("file") == nullptr);
  EQUAL(errno, ENOTDIR);
}

POSIX_CASE(readdir, needs_read_permission) {
  MakeDirectory("closed", 0711);
  As(kUser, kGroup, [] {
    HOLDS(opendir("closed") == nullptr);
    EQUAL(errno, EACCES);
  });
}

POSIX_CASE(readdir, moved_directory_can_still_be_listed) {
  Fill(200);
  Listing listing("many");
  for (int i = 0; i < 10; ++i) HOLDS(listing.Next() != nullptr);
  OK(rename("many", "moved"));
  EQUAL(listing.Rest().size(), 192);
}

}  // namespace
}  // namespace posix
