// A regular file that output is stored in, and its predecessor: FILE and FILE.old.
#ifndef DEVICES_CHARACTER_ROTATING_FILE_H_
#define DEVICES_CHARACTER_ROTATING_FILE_H_

#include <string>

#include "base/unique_fd.h"

namespace devices {

// Both files are opened at the start. A rotation opens nothing: it empties the predecessor and
// exchanges the two names below a directory that is kept open. Whatever moment a crash comes at,
// both names are there, and FILE has the newer output.
class RotatingFile {
 public:
  enum class Outcome {
    kExchanged,    // what was in FILE is in FILE.old, file() is the other one and empty
    kStartedOver,  // what was in FILE is gone: there was no exchanging it
    kLost,         // FILE is not this one any more, or cannot be emptied: both are as they were
  };
  struct Rotation {
    Outcome outcome;
    bool predecessor_emptied;
    std::string error;  // why the names were not exchanged
  };

  // Takes over `file`, a regular file opened for writing at `path`, and opens PATH.old, which is
  // made if it is missing and keeps what is in it until the first rotation. A predecessor that
  // cannot be had (a link, a directory, a folder in which no files may be made) is none: then
  // predecessor_error() says why, and each rotation starts over.
  RotatingFile(base::UniqueFd file, const std::string& path);

  int file() const { return file_.get(); }
  int predecessor() const { return predecessor_.get(); }  // -1: none
  const std::string& predecessor_error() const { return predecessor_error_; }

  // Makes room in FILE. Blocks on the host's file system; any thread, one call at a time, with no
  // write to either file under way. Touches no file but the two that were opened, and those only as
  // long as they have their names: what somebody has moved away or replaced stays as it is.
  Rotation Rotate();

 private:
  std::string OpenPredecessor(const std::string& path);
  // Empties FILE: there is no exchanging it, because of `error`.
  Rotation StartOver(bool predecessor_emptied, std::string error);

  base::UniqueFd file_;
  base::UniqueFd directory_;
  base::UniqueFd predecessor_;
  std::string name_;  // of FILE in `directory_`
  std::string predecessor_name_;
  std::string predecessor_error_;
};

}  // namespace devices

#endif  // DEVICES_CHARACTER_ROTATING_FILE_H_
