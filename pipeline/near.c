/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/sea_near.h"

#include <ctype.h>
#include <string.h>

int
sea_near_distance(const char *a, const char *b)
{
    enum { MAX = SEA_NEAR_MAX };
    int rows[3][MAX + 1], *two = rows[0], *one = rows[1], *now = rows[2], *spare;
    int i, j, la = (int)strlen(a), lb = (int)strlen(b);

    if (la > MAX || lb > MAX)
        return MAX;
    for (j = 0; j <= lb; j++)
        one[j] = two[j] = j;
    for (i = 1; i <= la; i++) {
        now[0] = i;
        for (j = 1; j <= lb; j++) {
            int best = one[j - 1] + (tolower((unsigned char)a[i - 1]) !=
                                     tolower((unsigned char)b[j - 1]));

            if (one[j] + 1 < best)
                best = one[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                two[j - 2] + 1 < best)
                best = two[j - 2] + 1;
            now[j] = best;
        }
        spare = two;
        two = one;
        one = now;
        now = spare;
    }
    return one[lb];
}
