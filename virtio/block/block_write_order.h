// Keeps writes of parts of blocks apart from other writes to the same blocks.
#ifndef VIRTIO_BLOCK_BLOCK_WRITE_ORDER_H_
#define VIRTIO_BLOCK_BLOCK_WRITE_ORDER_H_

#include <cstdint>

namespace virtio {

// A write that is, or waits to be, under way. Embedded in the request. [start, end): the whole
// blocks that it changes, in bytes of the image.
class OrderedWrite {
 public:
  // True between Enter and Leave.
  bool entered() const { return state_ != State::kOutside; }
  // True while it may not begin yet.
  bool waits() const { return state_ == State::kInLane || state_ == State::kNext; }

 private:
  friend class BlockWriteOrder;
  enum class State : uint8_t {
    kOutside,
    kBeside,  // under way, beside others
    kInLane,  // waits for its turn in the lane
    kNext,    // has its turn in the lane, waits for those beside it that overlap
    kAlone,   // has its turn in the lane and is under way
  };

  uint64_t start_ = 0;
  uint64_t end_ = 0;
  State state_ = State::kOutside;
  bool awaited_ = false;  // kBeside: the one in kNext waits for it
  OrderedWrite* previous_ = nullptr;
  OrderedWrite* next_ = nullptr;
};

// Writing part of a block is reading it, changing the part and writing it back (the host takes
// whole blocks only). Another write to that block between the two would be undone. So such writes
// go one at a time through one lane, each after those under way that it overlaps; and a write of
// whole blocks that overlaps the one under way in the lane takes its place at the end of the lane.
// Everything else goes on beside. Nothing blocks and nothing is allocated; the cost of a turn in
// the lane is a look at each write under way. The image's queues share one order: one loop.
class BlockWriteOrder {
 public:
  // Adds a write of the blocks [start, end), `partial` if not all of them in whole. Returns true if
  // it may begin; else TakeReady returns it later.
  bool Enter(OrderedWrite& write, uint64_t start, uint64_t end, bool partial);
  // Removes a write that has ended, or is given up while it waits. No-op if it is not entered.
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
  uint32_t awaited_ = 0;          // writes beside that kNext waits for
};

}  // namespace virtio

#endif  // VIRTIO_BLOCK_BLOCK_WRITE_ORDER_H_
