// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace nearcall::base {

// A doubly linked list of objects that carry their own links (derive from ListNode<Tag>): no allocation, removal in one
// step. Owns nothing. Not synchronised.
template <typename Tag>
class ListNode {
 public:
  ListNode() = default;
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;

  bool linked() const { return next_ != nullptr; }

  void Unlink() {
    if (!linked()) return;
    previous_->next_ = next_;
    next_->previous_ = previous_;
    next_ = previous_ = nullptr;
  }

 private:
  template <typename T, typename U>
  friend class List;

  ListNode* next_ = nullptr;
  ListNode* previous_ = nullptr;
};

template <typename T, typename Tag = T>
class List {
 public:
  List() { head_.next_ = head_.previous_ = &head_; }
  List(const List&) = delete;
  List& operator=(const List&) = delete;

  bool empty() const { return head_.next_ == &head_; }

  void PushBack(T& item) {
    ListNode<Tag>& node = item;
    node.next_ = &head_;
    node.previous_ = head_.previous_;
    head_.previous_->next_ = &node;
    head_.previous_ = &node;
  }

  T* front() { return empty() ? nullptr : static_cast<T*>(head_.next_); }

  T* PopFront() {
    T* item = front();
    if (item != nullptr) static_cast<ListNode<Tag>*>(item)->Unlink();
    return item;
  }

  // Calls `visit` for each item until it returns true; `visit` may unlink the item that it is given.
  template <typename Visit>
  void ForEachUntil(Visit&& visit) {
    for (ListNode<Tag>* node = head_.next_; node != &head_;) {
      ListNode<Tag>* next = node->next_;
      if (visit(*static_cast<T*>(node))) return;
      node = next;
    }
  }

 private:
  ListNode<Tag> head_;
};

}  // namespace nearcall::base
