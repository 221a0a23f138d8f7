// A regular file that stores output, and its predecessor: FILE and FILE.old.
#ifndef DEVICES_CHARACTER_ROTATING_FILE_H_
#define DEVICES_CHARACTER_ROTATING_FILE_H_

#include <string>

#include "base/unique_fd.h"

namespace devices {

// Both files are opened at the start. A rotation opens nothing: it empties the predecessor and
// exchanges the two names in a directory that is kept open. Whenever a crash comes, both names
// exist, and FILE has the newer output.
class RotatingFile {
 public:
  enum class Outcome {
    // the former contents of FILE are in FILE.old; file() is the other file and empty
    kExchanged,
    kStartedOver,  // the former contents of FILE are gone, because the names could not be exchanged
    kLost,         // FILE is no longer this file, or cannot be emptied: both files are as they were
  };
  struct Rotation {
    Outcome outcome;
    bool predecessor_emptied;
    std::string error;  // why the names were not exchanged
  };

  // Takes over `file`, a regular file opened for writing at `path`, and opens PATH.old. PATH.old is
  // made if it is missing, and keeps its contents until the first rotation. If PATH.old cannot be
  // used (a link, a directory, a folder in which no files may be made), there is no predecessor:
  // predecessor_error() then says why, and each rotation empties FILE.
  RotatingFile(base::UniqueFd file, const std::string& path);

  int file() const { return file_.get(); }
  int predecessor() const { return predecessor_.get(); }  // -1: none
  const std::string& predecessor_error() const { return predecessor_error_; }

  // Makes room in FILE. Blocks on the host's file system. Any thread, one call at a time, while no
  // write to either file is in flight. Touches only the two files that were opened, and only as
  // long as they have their names: a file that another program has moved or replaced stays as it
  // is.
  Rotation Rotate();

 private:
  std::string OpenPredecessor(const std::string& path);
  // Empties FILE, because `error` kept the names from being exchanged.
  Rotation StartOver(bool predecessor_emptied, std::string error);

  base::UniqueFd file_;
  base::UniqueFd directory_;
  base::UniqueFd predecessor_;
  std::string name_;  // FILE's name in `directory_`
  std::string predecessor_name_;
  std::string predecessor_error_;
};

}  // namespace devices

#endif  // DEVICES_CHARACTER_ROTATING_FILE_H_
