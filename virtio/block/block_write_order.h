// Keeps writes of parts of blocks apart from other writes to the same blocks.
#ifndef VIRTIO_BLOCK_BLOCK_WRITE_ORDER_H_
#define VIRTIO_BLOCK_BLOCK_WRITE_ORDER_H_

#include <cstdint>

namespace virtio {

// A write that is under way or waits to begin. It is embedded in the request. [start, end) is the
// range of whole blocks that it changes, in bytes of the image.
class OrderedWrite {
 public:
  // True between Enter and Leave.
  bool entered() const { return state_ != State::kOutside; }
  // True while the write may not begin yet.
  bool waits() const { return state_ == State::kInLane || state_ == State::kNext; }

 private:
  friend class BlockWriteOrder;
  enum class State : uint8_t {
    kOutside,
    kBeside,  // under way, beside others
    kInLane,  // waits for its turn in the lane
    kNext,    // has its turn in the lane, but waits for overlapping writes beside the lane
    kAlone,   // has its turn in the lane and is under way
  };

  uint64_t start_ = 0;
  uint64_t end_ = 0;
  State state_ = State::kOutside;
  bool awaited_ = false;  // kBeside: the write in kNext waits for this write
  OrderedWrite* previous_ = nullptr;
  OrderedWrite* next_ = nullptr;
};

// To write a part of a block, the device reads the block, changes the part and writes the block
// back, since the host takes only whole blocks. Another write to the block between the read and the
// write would be undone. Therefore partial writes take turns in a single lane, and each waits for
// overlapping writes that are already under way. A write of whole blocks that overlaps the write
// whose turn it is goes to the end of the lane. All other writes run beside the lane. Nothing
// blocks and nothing is allocated; a turn in the lane costs a look at each write under way. The
// queues of an image share one order on one loop.
class BlockWriteOrder {
 public:
  // Adds a write of the blocks [start, end). `partial`: the write changes only a part of some
  // block. Returns true if the write may begin; otherwise TakeReady returns the write later.
  bool Enter(OrderedWrite& write, uint64_t start, uint64_t end, bool partial);
  // Removes a write that has ended or is given up while it waits. Does nothing if it has not
  // entered.
  void Leave(OrderedWrite& write);
  // Returns a write that has waited and may now begin, or nullptr.
  OrderedWrite* TakeReady();

 private:
  class List {
   public:
    void Append(OrderedWrite& write);
    void Remove(OrderedWrite& write);
    OrderedWrite* first() const { return first_; }

   private:
    OrderedWrite* first_ = nullptr;
    OrderedWrite* last_ = nullptr;
  };

  void BeginTurn();

  List beside_;
  List lane_;
  OrderedWrite* turn_ = nullptr;  // kNext or kAlone
  uint32_t awaited_ = 0;  // the number of writes beside the lane that the write in kNext waits for
};

}  // namespace virtio

#endif  // VIRTIO_BLOCK_BLOCK_WRITE_ORDER_H_
