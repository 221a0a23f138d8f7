#include "virtio/p9/p9_places.h"

#include "absl/strings/str_cat.h"

namespace virtio {

P9Places::Place* P9Places::Acquire(NodeId directory, absl::string_view name) {
  const auto found = places_.find(Key(directory, name));
  if (found != places_.end()) {
    Hold(**found);
    return found->get();
  }
  if (bytes_ + name.size() > max_bytes_ || !tree_.Fits(kPlaceBytes + name.size())) return nullptr;
  tree_.Charge(0, kPlaceBytes);
  auto place = std::make_unique<Place>();
  Place& made = *place;
  Put(made, directory, std::string(name));
  Hold(made);
  places_.insert(std::move(place));
  return &made;
}

void P9Places::Release(Place& place) {
  if (--place.users_ > 0) return;
  auto taken = places_.extract(places_.find(KeyOf(place)));
  Put(*taken.value(), NodeId{0}, {});
  tree_.Charge(kPlaceBytes, 0);
  // Give memory back if the table was large and is nearly empty now.
  if (places_.bucket_count() > 1024 && places_.size() < places_.bucket_count() / 8) {
    places_.rehash(0);
  }
}

void P9Places::Remove(NodeId directory, absl::string_view name) {
  const auto found = places_.find(Key(directory, name));
  if (found != places_.end()) Replace(found, NodeId{0}, absl::StrCat(++gone_));
}

void P9Places::Move(NodeId from, absl::string_view from_name, NodeId to,
                    absl::string_view to_name) {
  Remove(to, to_name);
  const auto found = places_.find(Key(from, from_name));
  if (found == places_.end()) return;
  if (bytes_ - from_name.size() + to_name.size() > max_bytes_ || !tree_.Fits(to_name.size())) {
    return Remove(from, from_name);
  }
  Replace(found, to, std::string(to_name));
}

void P9Places::Replace(absl::flat_hash_set<std::unique_ptr<Place>, Hash, Same>::iterator at,
                       NodeId directory, std::string name) {
  auto taken = places_.extract(at);
  Put(*taken.value(), directory, std::move(name));
  places_.insert(std::move(taken));
}

void P9Places::Clear() {
  tree_.Charge(places_.size() * kPlaceBytes + bytes_, 0);
  places_ = {};
  bytes_ = 0;
}

void P9Places::Put(Place& place, NodeId directory, std::string name) {
  if (directory != NodeId{0}) {
    tree_.Hold(directory);
    bytes_ += name.size();
    tree_.Charge(0, name.size());
  }
  if (place.is_there()) {
    bytes_ -= place.name_.size();
    tree_.Charge(place.name_.size(), 0);
    tree_.Forget(place.directory_, 1);
  }
  place.directory_ = directory;
  place.name_ = std::move(name);
}

}  // namespace virtio
