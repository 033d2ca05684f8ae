/* test_list.c: the intrusive list.
 *
 * Goal: order, both directions and removal at every place.
 * Method: after each step the list is compared, forth and back, with a string.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"

struct element {
    char name;
    struct list_node node;
};

static void expect_order(struct list_node *head, const char *names)
{
    const char *p = names;

    LIST_EACH (node, head) {
        assert_int_equal(LIST_OF(node, struct element, node)->name, *p);
        p++;
    }
    assert_int_equal(*p, 0);
    for (struct list_node *n = head->prev; n != head; n = n->prev) {
        p--;
        assert_int_equal(LIST_OF(n, struct element, node)->name, *p);
    }
    assert_ptr_equal(p, names);
    assert_int_equal(list_empty(head), *names == 0);
}

static void fill(struct list_node *head, struct element *e, const char *names)
{
    list_init(head);
    for (size_t i = 0; names[i] != 0; i++) {
        e[i].name = names[i];
        list_push(head, &e[i].node);
    }
}

static void push_appends_and_pop_takes_the_first(void **state)
{
    struct list_node head;
    struct element e[3];

    (void)state;
    fill(&head, e, "");
    expect_order(&head, "");
    assert_null(list_pop(&head));
    fill(&head, e, "abc");
    expect_order(&head, "abc");
    assert_ptr_equal(list_pop(&head), &e[0].node);
    expect_order(&head, "bc");
    list_push(&head, &e[0].node);
    expect_order(&head, "bca");
}

static void remove_works_at_every_place(void **state)
{
    static const char *const left[] = {"bcd", "acd", "abd", "abc"};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct list_node head;
        struct element e[4];
        fill(&head, e, "abcd");
        list_remove(&e[i].node);
        expect_order(&head, left[i]);
        /* In no list: points to itself; again is nothing. */
        assert_true(list_empty(&e[i].node));
        list_remove(&e[i].node);
        expect_order(&head, left[i]);
    }
}

static void each_safe_allows_removal_of_all(void **state)
{
    struct list_node head;
    struct element e[4];
    unsigned seen = 0;

    (void)state;
    fill(&head, e, "abcd");
    LIST_EACH_SAFE (node, &head) {
        list_remove(node);
        seen++;
    }
    assert_int_equal(seen, 4);
    expect_order(&head, "");
}

static void move_appends_all_in_order(void **state)
{
    struct list_node to;
    struct list_node from;
    struct element e[2];
    struct element f[3];

    (void)state;
    fill(&to, e, "ab");
    fill(&from, f, "xyz");
    list_move(&to, &from);
    expect_order(&to, "abxyz");
    expect_order(&from, "");
    list_move(&to, &from); /* nothing to move */
    expect_order(&to, "abxyz");
    list_move(&from, &to); /* to an empty one */
    expect_order(&from, "abxyz");
    expect_order(&to, "");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(push_appends_and_pop_takes_the_first),
        cmocka_unit_test(remove_works_at_every_place),
        cmocka_unit_test(each_safe_allows_removal_of_all),
        cmocka_unit_test(move_appends_all_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
