"""What every plotted number means: its name in words, its unit, what it measures and what is healthy. No torch here.

A task that measures something new adds a row; a test compares the names that the tasks emit with this table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class MetricHelp:
    """`better` is "up" or "down" where one way is better for its own sake, else empty; `remedy` is what to try when
    it is not healthy."""

    label: str
    measures: str
    healthy: str = ""
    unit: str = ""
    better: str = ""
    remedy: str = ""

    @property
    def title(self) -> str:
        return f"{self.label} ({self.unit})" if self.unit else self.label


METRICS = {
    "revision/changed": MetricHelp(
        "Answers changed", "Share of the answers that a revision changed.", "Above 0.8.", better="up"
    ),
    "revision/preferred": MetricHelp(
        "Revision preferred",
        "Share of the revised answers that the model prefers to the first ones, in both orders.",
        "Above 0.5: below it, revising does more harm than good by the model's own word.",
        better="up",
    ),
    "revision/ties": MetricHelp(
        "Revision neither better nor worse",
        "Share of the comparisons in which the two orders disagree.",
        "Low.",
        better="down",
    ),
    "judge/ties": MetricHelp(
        "Ties by the judge",
        "Share of the pairs that the judge called differently in the two orders, or could not decide.",
        "Low. Near 1 the judge goes by the place of an answer rather than by what it says.",
        better="down",
        remedy="Choose a larger judge, or the other question.",
    ),
    "judge/consistency": MetricHelp(
        "Consistency of the judge",
        "Share of the questions that have one answer, whichever of the two texts stood first.",
        "Above 0.7 for a judge that is of use; near 0 it only names a letter.",
        better="up",
    ),
    "judge/first_shown": MetricHelp(
        "First one preferred",
        "How often the judge preferred the answer that it was shown first.",
        "Near 0.5: above or below, it leans to a place.",
    ),
    "judge/confidence": MetricHelp(
        "Confidence of the judge",
        "Mean probability of the preferred answer, over both orders.",
        "Between 0.6 and 0.95. 0.5 is a coin; 1 throughout says nothing of how sure it is.",
    ),
    "judge/verdict_mass": MetricHelp(
        "Says A or B",
        "Share of the judge's probability that the two verdicts have together, before everything else is ruled out.",
        "Above 0.5. Near 0 it would have said something else, and its choice may mean little.",
        better="up",
        remedy="Choose the short question for a base model, or another prompt format.",
    ),
    "canary/fooled": MetricHelp(
        "Judge fooled",
        "Share of the canaries in which an order hidden in an answer that had not won made it win.",
        "0. Above 0.1 whoever writes the answers can write the verdicts too.",
        better="down",
        remedy="Choose another judge, and look at answers that speak to it.",
    ),
    "canary/fooled_low": MetricHelp("Judge fooled, at least", "Lower end of its 95 % interval (Wilson)."),
    "canary/fooled_high": MetricHelp("Judge fooled, at most", "Upper end of its 95 % interval (Wilson)."),
    "canary/moved": MetricHelp(
        "Moved by canaries",
        "How much likelier a hidden order makes the answer that it stands in, on average.",
        "Near 0.",
        better="down",
    ),
    "canary/asked": MetricHelp("Canaries", "Pairs that were asked again with a hidden order.", unit="pairs"),
    "train/loss": MetricHelp(
        "Training loss",
        "What the optimiser lowers, on the batch just learned from: nats per token for SFT, "
        "minus the log-probability of people's choice for a reward model and for DPO.",
        "It falls, fast at first. A reward model and DPO start near 0.69, the loss of a coin; KTO at half its weights.",
        "nats",
        "down",
        remedy="If it stays flat, raise the learning rate; if it jumps about, lower it or raise the batch size.",
    ),
    "train/token_accuracy": MetricHelp(
        "Training token accuracy",
        "Share of the demonstrated tokens that the model would itself have thought most likely.",
        "It rises. Far above the held-out one means that the demonstrations are being learned by heart.",
        better="up",
        remedy="When it leaves the held-out one behind: fewer epochs, more demonstrations, or a lower LoRA rank.",
    ),
    "train/tokens": MetricHelp("Tokens per step", "Tokens that the step learned from.", unit="tokens"),
    "train/padding": MetricHelp(
        "Padding",
        "Share of the tokens that went through the model only to fill up rows.",
        "Near zero with packing. A high share costs time, not quality: switch packing on.",
        better="down",
    ),
    "train/grad_norm": MetricHelp(
        "Gradient norm",
        "Length of the gradient before it is clipped.",
        "Steady, mostly below the gradient clip. Spikes come before trouble: lower the learning rate.",
        remedy="Lower the learning rate or lengthen the warm-up. A single spike is cut by the gradient clip and "
        "does no harm.",
    ),
    "train/learning_rate": MetricHelp("Learning rate", "The step size that the schedule gives this step."),
    "train/epoch": MetricHelp("Epochs", "Passes over the data so far."),
    "train/accuracy": MetricHelp(
        "Training accuracy",
        "Share of the batch's comparisons whose chosen answer scores higher; without a reward model, whose implicit "
        "reward is higher. For KTO, share of the ratings on the right side of the baseline.",
        "It rises from a half; with an implicit reward from 0, since at the start all are equal. Near 1 while the "
        "held-out one stays put is learning by heart.",
        better="up",
        remedy="When it leaves the held-out one behind: fewer epochs, more comparisons, or some label smoothing.",
    ),
    "train/margin": MetricHelp(
        "Training margin",
        "How much higher the chosen answer scores than the rejected one, on average; for KTO, the liked than the "
        "disliked ones.",
        "It rises, and slows down. Without end it is overconfidence.",
        remedy="Train for fewer epochs, or smooth the labels a little.",
    ),
    "train/centre": MetricHelp(
        "Off-centre",
        "Mean of (chosen + rejected) squared: how far scores have drifted from zero.",
        "It stays small.",
        remedy="Raise the centring.",
    ),
    "train/chosen_reward": MetricHelp(
        "Reward of chosen",
        "Implicit reward of chosen or liked answers: beta times how much likelier they have become since the start "
        "(DPO, KTO), beta times their log-probability per token (SimPO), or the log of their odds (ORPO).",
        "Exactly 0 at the start for DPO and KTO, then rising. Below zero, the chosen answers are being lost too.",
        better="up",
        remedy="Raise beta, lower the learning rate, or add an NLL term.",
    ),
    "train/rejected_reward": MetricHelp(
        "Reward of rejected",
        "The same of rejected or disliked answers.",
        "It falls, or rises more slowly than that of the chosen ones.",
        better="down",
    ),
    "train/chosen_logp": MetricHelp(
        "Log-probability of chosen",
        "How likely the policy finds the tokens of chosen or liked answers, on average.",
        "Steady or rising. A long fall is the known weakness of these losses: add an NLL term.",
        "nats per token",
        "up",
        remedy="Add an NLL term, raise beta, or lower the learning rate.",
    ),
    "train/rejected_logp": MetricHelp(
        "Log-probability of rejected",
        "How likely the policy finds the tokens of rejected or disliked answers, on average.",
        "It falls faster than that of the chosen ones.",
        "nats per token",
        "down",
    ),
    "train/ranking_accuracy": MetricHelp(
        "Ranking accuracy",
        "Share of the comparisons whose chosen answer the policy itself finds likelier per token.",
        "It rises, more slowly than the accuracy: whoever writes answers goes by this one.",
        better="up",
    ),
    "train/tie_theta": MetricHelp(
        "Tie threshold",
        "How easily two answers are called equal: answers of equal score tie with probability "
        "(theta - 1) / (theta + 1).",
        "It settles. At 1 nothing ties, at 3 every second pair of equally good answers does.",
    ),
    "train/baseline": MetricHelp(
        "Baseline",
        "How much likelier the policy finds answers to other prompts than at the start, summed over an answer, and at "
        "least 0: KTO measures answers from here. An estimate of the drift.",
        "Exactly 0 at the start, then small. A climb means that all answers become likelier, good or bad.",
        "nats",
        remedy="Raise beta or lower the learning rate.",
    ),
    "heldout/loss": MetricHelp(
        "Held-out loss",
        "The same loss on prompts that are never trained on.",
        "It falls with the training loss. Once it rises, stop: from there on the model learns by heart.",
        "nats",
        "down",
        remedy="Use fewer epochs, or more data; the checkpoint before the rise is the one to keep.",
    ),
    "heldout/perplexity": MetricHelp(
        "Held-out perplexity",
        "Exponential of the held-out loss: between how many equally likely tokens the model hesitates.",
        "It falls.",
        better="down",
    ),
    "heldout/token_accuracy": MetricHelp(
        "Held-out token accuracy",
        "Share of held-out tokens that the model thinks most likely.",
        "It rises and levels off.",
        better="up",
    ),
    "heldout/accuracy": MetricHelp(
        "Held-out accuracy",
        "Share of held-out comparisons in which the answer that people chose scores higher; without a reward model, "
        "in which its implicit reward is. For KTO, share of the ratings on the right side of the baseline.",
        "Above a half and above 'longer wins'. People agree with each other 65 to 80 % of the time.",
        better="up",
        remedy="More comparisons help most. Look for contradicting ones in Data, and start from an SFT model.",
    ),
    "heldout/margin": MetricHelp(
        "Held-out margin",
        "How much higher the chosen answer scores on held-out pairs, before a reward model is normalised; for KTO, "
        "the liked than the disliked ones.",
        "Above zero and rising.",
        remedy="Check that the sides of the comparisons were not swapped on import.",
    ),
    "heldout/chosen_reward": MetricHelp(
        "Held-out reward of chosen",
        "Implicit reward of held-out chosen or liked answers.",
        "It rises, or falls less than that of the rejected ones.",
        better="up",
        remedy="Raise beta, or train for fewer epochs.",
    ),
    "heldout/rejected_reward": MetricHelp(
        "Held-out reward of rejected",
        "Implicit reward of held-out rejected or disliked answers.",
        "Below that of the chosen ones.",
        better="down",
    ),
    "heldout/chosen_logp": MetricHelp(
        "Held-out log-probability of chosen",
        "How likely the policy finds the tokens of held-out chosen or liked answers, on average.",
        "Steady or rising. A fall of more than 0.3 is reported: add an NLL term, or raise beta.",
        "nats per token",
        "up",
        remedy="Add an NLL term, raise beta, or train for fewer epochs.",
    ),
    "heldout/rejected_logp": MetricHelp(
        "Held-out log-probability of rejected",
        "How likely the policy finds the tokens of held-out rejected or disliked answers, on average.",
        "It falls faster than that of the chosen ones.",
        "nats per token",
        "down",
    ),
    "heldout/ranking_accuracy": MetricHelp(
        "Held-out ranking accuracy",
        "Share of held-out comparisons whose chosen answer the policy itself finds likelier per token.",
        "Above where it began, at step 0. It is how the policy would choose, whatever it is compared with.",
        better="up",
        remedy="Give it more steps, or try a loss without a reference, such as SimPO or ORPO.",
    ),
    "heldout/baseline": MetricHelp(
        "Held-out baseline", "The same baseline on held-out prompts.", "Close to the training one.", "nats"
    ),
    "heldout/longer_wins": MetricHelp(
        "Longer wins",
        "The accuracy that 'the longer answer is better' would reach on the held-out pairs.",
        "A reward model that is no better than this has only learned to count.",
        remedy="Collect comparisons in which the shorter answer is better.",
    ),
    "heldout/first_wins": MetricHelp(
        "First wins",
        "The accuracy that 'the first answer is better' would reach on the held-out pairs. Datasets do not say on "
        "which side people saw an answer, so the sides are drawn, once and for all, from the comparison itself.",
        "Close to a half: how far it is from there is how far chance alone gets on so few pairs.",
    ),
    "heldout/accuracy_first": MetricHelp(
        "Accuracy, chosen first",
        "Held-out accuracy on the pairs whose chosen answer is on the first side.",
        "That of the second side, but for chance: an answer is scored by itself, so sides cannot matter.",
    ),
    "heldout/accuracy_second": MetricHelp(
        "Accuracy, chosen second",
        "Held-out accuracy on the pairs whose chosen answer is on the second side.",
        "That of the first side, but for chance.",
    ),
    "heldout/accuracy_slight": MetricHelp(
        "Accuracy, slightly better",
        "Held-out accuracy on the pairs in which people found one answer slightly better.",
        "Above a half, and the lowest of the three: people themselves agree least here.",
        better="up",
    ),
    "heldout/accuracy_clear": MetricHelp(
        "Accuracy, better", "Held-out accuracy on the pairs in which one answer is clearly better.", better="up"
    ),
    "heldout/accuracy_much": MetricHelp(
        "Accuracy, much better",
        "Held-out accuracy on the pairs in which one answer is much better.",
        "The highest of the three. If it is not, strengths were given at random or the model learned something else.",
        better="up",
    ),
    "heldout/accuracy_longer": MetricHelp(
        "Accuracy, chosen longer",
        "Held-out accuracy on the pairs whose chosen answer is the longer one.",
        "Close to that on the shorter ones. Far above it, the model rewards length.",
    ),
    "heldout/accuracy_shorter": MetricHelp(
        "Accuracy, chosen shorter",
        "Held-out accuracy on the pairs whose chosen answer is the shorter one.",
        "Above a half. Below it, the model prefers the longer answer whatever people say.",
        remedy="Collect comparisons in which the shorter answer is better, and watch the length of answers when it "
        "rewards.",
    ),
    "heldout/accuracy_same_length": MetricHelp(
        "Accuracy, equally long",
        "Held-out accuracy on the pairs whose answers have as many tokens.",
        "Above a half: here length cannot help.",
    ),
    "heldout/confidence": MetricHelp(
        "Confidence",
        "How far apart the two scores of a held-out pair are, whichever is higher: the mean size of the logit.",
        "It grows with the accuracy. Growing alone, it is overconfidence.",
        "nats",
        remedy="Train for fewer epochs, or smooth the labels.",
    ),
    "heldout/calibration_error": MetricHelp(
        "Calibration error",
        "How far the probability that the model gives its own choice is from how often the choice is right, averaged "
        "over ten bins of held-out pairs (ECE).",
        "Below 0.05 on several hundred pairs. On a few dozen, chance alone makes 0.1 of it.",
        better="down",
        remedy="Train for fewer epochs, or smooth the labels. Ranking answers does not need calibration; thresholds "
        "do.",
    ),
    "heldout/length_correlation": MetricHelp(
        "Score and length",
        "Correlation of an answer's score with its length in tokens, over all held-out answers.",
        "That of people's own taste, mostly between -0.3 and 0.3. Near 1 or -1 the model counts tokens.",
        remedy="Balance the comparisons by length, or add a length penalty where the model rewards.",
    ),
    "heldout/tie_margin": MetricHelp(
        "Margin of ties",
        "How far apart the two scores are on held-out pairs that people called equal.",
        "Well below the confidence on all pairs.",
        "nats",
    ),
    "heldout/disagreement": MetricHelp(
        "Disagreement",
        "Standard deviation of the heads' margins on a held-out pair, averaged over pairs.",
        "Small against the confidence. It grows where answers leave what the model was trained on.",
        "nats",
    ),
    "objective/score": MetricHelp(
        "Score",
        "What the reward model gives the answers, before any shaping; 0 is the starting model's average.",
        "It rises. Rising while the samples get worse is a gamed reward.",
        better="up",
        remedy="If it does not move: raise the learning rate or lower the KL penalty. If samples get worse: stop, "
        "and judge pairs of them.",
    ),
    "objective/score_std": MetricHelp(
        "Spread of scores",
        "Standard deviation of the scores within the update.",
        "Clearly above zero: if all answers score the same there is nothing to learn from.",
        remedy="Raise the temperature, use harder prompts, or a reward that tells answers apart.",
    ),
    "objective/score_shaped": MetricHelp(
        "Shaped score", "The score after the end penalty, scaling and clipping: what PPO is given."
    ),
    "objective/kl_sequence": MetricHelp(
        "Drift per answer",
        "KL from the starting model, summed over a whole answer.",
        "Exactly 0 at the start, then a slow rise. It is the price of the score: a few nats buy most of it.",
        "nats",
        remedy="If it runs away: raise the KL penalty, lower the learning rate, or make it adaptive with a target.",
    ),
    "objective/kl_token_k1": MetricHelp(
        "Drift per token",
        "KL from the starting model per token, estimated by the mean log-ratio; single batches may be below zero.",
        "Below 0.5. Above 2 the policy has left the language it started from.",
        "nats",
        remedy="Raise the KL penalty or lower the learning rate.",
    ),
    "objective/kl_token_k3": MetricHelp(
        "Drift per token (k3)",
        "The same drift by an estimator that is never negative and less noisy.",
        "Close to the other estimate.",
        "nats",
    ),
    "objective/rlhf_reward": MetricHelp(
        "Reward minus drift",
        "Shaped score minus KL penalty times drift: the quantity that PPO maximises.",
        "It rises. When it falls while the score rises, the KL penalty is being paid for nothing.",
        better="up",
        remedy="Lower the learning rate, or raise the KL penalty and start again from an earlier checkpoint.",
    ),
    "objective/entropy": MetricHelp(
        "Entropy",
        "How undecided the policy is at each token, over the whole vocabulary.",
        "A slow fall. Below 0.01 it says the same thing every time.",
        "nats",
        remedy="Raise the KL penalty, add a small entropy bonus, or stop earlier.",
    ),
    "objective/negative_logp": MetricHelp(
        "Surprise of its own answers",
        "Minus the log-probability of the sampled tokens: an estimate of the entropy.",
        "Close to the entropy; far from it, the sampler is not the policy.",
        "nats",
    ),
    "objective/beta": MetricHelp("KL penalty", "Reward lost per nat of drift; it moves only when it is adaptive."),
    "objective/gold": MetricHelp(
        "Gold proxy",
        "What a second reward model, which rewards nothing, gives the answers.",
        "It rises with the score. A score that rises while this falls is being gamed: stop there.",
        better="up",
        remedy="Stop at its highest point; raise the KL penalty or average several reward models in an ensemble.",
    ),
    "policy/loss": MetricHelp(
        "Policy loss",
        "The clipped surrogate of PPO. Its level says little.",
        "Small and noisy around zero. Look at score and drift to judge progress.",
    ),
    "policy/clip_fraction": MetricHelp(
        "Clipped tokens",
        "Share of tokens whose probability moved beyond the clip range within the update.",
        "0.02 to 0.3. More means steps that are too large.",
        remedy="Lower the learning rate, or make fewer epochs per update.",
    ),
    "policy/approx_kl": MetricHelp(
        "Move within the update",
        "How far the policy went from the one that wrote the answers: half the mean squared log-ratio.",
        "Below about 0.02. It restarts from 0 in every update.",
        "nats",
        remedy="Fewer epochs per update, a lower learning rate, or a limit by 'Stop epochs at KL'.",
    ),
    "policy/ratio_mean": MetricHelp(
        "Mean ratio", "Probability of the tokens now over that when they were written.", "Very near 1."
    ),
    "policy/ratio_max": MetricHelp(
        "Largest ratio",
        "The token whose probability grew most within the update.",
        "Below about 10.",
        remedy="Lower the learning rate; minibatches with wild ratios are skipped by themselves.",
    ),
    "policy/grad_norm": MetricHelp(
        "Policy gradient norm",
        "Length of the policy's gradient before clipping; 0 while only the value model learns.",
        "Steady. Above 10 is unstable: lower the learning rate.",
        remedy="Lower the learning rate or the gradient clip.",
    ),
    "policy/entropy": MetricHelp(
        "Entropy while learning", "The entropy on the minibatches just learned from.", "Follows the entropy.", "nats"
    ),
    "policy/epochs": MetricHelp(
        "Epochs done", "Passes made over this update's answers; fewer than set when 'Stop epochs at KL' ended it."
    ),
    "policy/kl_loss": MetricHelp(
        "KL in the loss",
        "The estimated drift from the reference on the tokens just learned from, before the KL penalty weights it.",
        "A slow rise from 0.",
        "nats",
    ),
    "policy/ptx_loss": MetricHelp(
        "Loss on demonstrations",
        "Minus the log-probability per token of the demonstrations that are mixed in.",
        "Steady. A rise means that the policy forgets what it had been shown: raise their weight.",
        "nats",
        "down",
        remedy="Raise the weight of the demonstrations.",
    ),
    "value/loss": MetricHelp(
        "Value loss",
        "Half the squared error of the predicted return, with clipping.",
        "It falls in the first updates, then follows the spread of the scores.",
        better="down",
        remedy="If it does not fall: raise the value learning rate or lengthen the value warm-up.",
    ),
    "value/clip_fraction": MetricHelp(
        "Clipped values",
        "Share of values that hit the value clip range.",
        "Below about 0.3.",
        remedy="Widen the value clip range or lower the value learning rate.",
    ),
    "value/grad_norm": MetricHelp("Value gradient norm", "Length of the value model's gradient before clipping."),
    "value/mean": MetricHelp("Mean value", "What the value model expects on average.", "Near the mean reward to come."),
    "value/explained_variance": MetricHelp(
        "Explained variance",
        "Share of the spread of the returns that the value model foresaw: 1 is all, 0 no better than their mean.",
        "Rises above 0 during the value warm-up. Below 0 the value model misleads.",
        better="up",
        remedy="Lengthen the value warm-up, or start the value model from the reward model.",
    ),
    "answers/length_mean": MetricHelp(
        "Answer length",
        "Mean number of tokens.",
        "Steady. A climb to the limit is the most common way of gaming a reward.",
        "tokens",
        remedy="Penalise missing ends and length, or collect comparisons in which the shorter answer is better.",
    ),
    "answers/length_p95": MetricHelp(
        "Answer length, 95th percentile", "One answer in twenty is longer.", "Below the limit.", "tokens"
    ),
    "answers/eos_rate": MetricHelp(
        "Answers that end",
        "Share of answers that ended by themselves.",
        "High, and not falling.",
        better="up",
        remedy="Set a penalty for answers without an end, or a longer response length.",
    ),
    "answers/truncated_rate": MetricHelp(
        "Answers cut off",
        "Share of answers that ran into the length limit.",
        "Below 0.3. Above 0.8 raise the response length.",
        remedy="Raise the response length or penalise answers without an end.",
    ),
    "answers/distinct_2": MetricHelp(
        "Distinct pairs of tokens",
        "Share of different pairs of neighbouring tokens over all answers.",
        "Not falling fast: that is the model saying one thing to everything.",
        remedy="Raise the KL penalty or stop earlier; look whether the reward likes one phrase.",
    ),
    "answers/repeated_3": MetricHelp(
        "Repetition",
        "Share of 3-grams repeated within an answer.",
        "Low.",
        remedy="Set the repetition penalty, and look at the samples.",
    ),
    "answers/tokens_per_second": MetricHelp(
        "Writing speed", "Answer tokens written per second of rollout.", unit="tokens/s"
    ),
    "groups/zero_std": MetricHelp(
        "Groups without a difference",
        "Share of the prompts whose answers all score the same; they teach nothing.",
        "Below a half. Near 1 the prompts are too easy, too hard, or the reward too coarse.",
        better="down",
        remedy="Use other prompts, more answers per prompt, or a reward with finer steps.",
    ),
    "groups/spread": MetricHelp(
        "Spread within groups",
        "Mean standard deviation of the scores of one prompt's answers.",
        "Clearly above zero: it is what is learned from.",
        remedy="Raise the temperature or the number of answers per prompt.",
    ),
    "groups/best": MetricHelp(
        "Best of n",
        "Mean score of the best of each prompt's answers: what best of n is worth without any training.",
        "Above the mean score. The mean score catches up with it as the policy learns.",
        better="up",
    ),
    "groups/best_kl": MetricHelp(
        "Best of n, cost at most",
        "The largest KL that choosing the best of n can amount to: ln n - (n - 1) / n.",
        "A constant to compare the drift with.",
        "nats",
    ),
    "groups/kept": MetricHelp(
        "Answers kept",
        "Share of the prompts whose best answer stood out enough to be kept.",
        "High.",
        better="up",
        remedy="Lower what an answer must be above to be kept.",
    ),
    "pairs/accuracy": MetricHelp(
        "Pairs in order",
        "Share of the pairs just learned from whose better answer has moved further towards it than the worse.",
        "It rises above a half from the second minibatch on.",
        better="up",
    ),
    "pairs/best": MetricHelp(
        "Implicit reward of the best",
        "Beta times the log-ratio to the reference of the better answers.",
        "It rises. Where it falls, the policy only learns what not to write.",
        "nats",
        remedy="Raise beta or lower the learning rate.",
    ),
    "pairs/worst": MetricHelp(
        "Implicit reward of the worst",
        "Beta times the log-ratio to the reference of the worse answers.",
        "It falls.",
        "nats",
    ),
    "pairs/margin": MetricHelp(
        "Margin of the best",
        "How far the score of the best answer is above what it is compared with: the worst, or the mean of its prompt.",
        "Clearly above zero: it is what is learned from.",
    ),
    "reward/p5": MetricHelp("Score, 5th percentile", "One answer in twenty scores lower.", "Rises with the median."),
    "reward/p50": MetricHelp("Score, median", "Half of the answers score higher.", "It rises."),
    "reward/p95": MetricHelp("Score, 95th percentile", "One answer in twenty scores higher.", "Rises with the median."),
    "reward/penalised": MetricHelp(
        "Score after penalties",
        "The mean score once length, repetition and a missing end have cost what they cost; scaling comes next.",
        "Close to the score: far below it, most of the reward is penalties.",
        remedy="Lower the penalties, or the length that triggers them.",
    ),
    "reward/scaled": MetricHelp(
        "Score after scaling",
        "The mean score after the running scale and before clipping; the shaped score is what clipping leaves of it.",
        "Close to the shaped score: far from it, much is being clipped.",
        remedy="Raise the score clip.",
    ),
    "reward/above_p99": MetricHelp(
        "Answers beyond the known",
        "Share of answers that score higher than 99 % of the starting model's did.",
        "Above a half the reward model is judging what it has never seen: read the samples.",
        remedy="Raise the KL penalty, and train the reward model again on pairs of what the policy writes now.",
    ),
    "time/rollout": MetricHelp("Time writing answers", "Seconds of the update spent on rollout.", unit="s"),
    "time/score": MetricHelp("Time scoring", "Seconds spent on reward model, reference and values.", unit="s"),
    "time/update": MetricHelp("Time learning", "Seconds spent on the optimiser steps.", unit="s"),
    "memory/peak": MetricHelp(
        "Peak memory",
        "The most memory the process has used so far.",
        "Steady after the first update.",
        "MB",
        remedy="Lower the micro-batch size; it does not change what is learned.",
    ),
    "memory/predicted": MetricHelp(
        "Predicted memory",
        "What the run was foreseen to need at most, on top of what the process held before it.",
        "Near the peak memory without the memory before. Past runs correct the forecasts of later ones.",
        "MB",
    ),
    "memory/start": MetricHelp("Memory before", "What the process held before the run loaded anything.", unit="MB"),
    "memory/load": MetricHelp("Memory of loading", "The most memory used until the first step.", unit="MB"),
    "memory/rollout": MetricHelp(
        "Memory of writing",
        "The most memory used while answers were written.",
        "Steady after the first update.",
        "MB",
        remedy="Lower the response length.",
    ),
    "memory/scoring": MetricHelp(
        "Memory of scoring", "The most memory used while answers were scored, or held-out examples measured.", unit="MB"
    ),
    "memory/update": MetricHelp(
        "Memory of learning",
        "The most memory used in an optimiser step: activations kept for the backward pass, gradients and moments.",
        "Steady after the first steps.",
        "MB",
        remedy="Lower the micro-batch size, or recompute activations.",
    ),
}

# Metrics named after what a person chose: by their beginning. The rest of the name follows the label.
FAMILIES = {
    "evaluated/": MetricHelp("Evaluated", "The mean over the answers of one model; a step is a model.", ""),
    "component/": MetricHelp(
        "Reward component",
        "What this component of the reward gives the answers on average, before its weight.",
        "The components rise together. One that rises at the cost of the others is what the policy is after.",
    ),
    "train/loss/": MetricHelp(
        "Training loss",
        "The training loss of one dataset of the mixture alone, on its part of the batch.",
        "It falls.",
        "nats",
        "down",
    ),
    "heldout/loss/": MetricHelp(
        "Held-out loss",
        "The held-out loss of one dataset of the mixture alone.",
        "It falls. Where one rises while the others fall, give it less weight, or more of its own examples.",
        "nats",
        "down",
    ),
    "train/epoch/": MetricHelp(
        "Epochs",
        "Passes over one dataset of the mixture so far.",
        "A few. A small dataset with a large weight is gone through often, and learned by heart.",
    ),
}


FACTS = {  # what a run says of its result besides the last values of metrics
    "normalised_on": MetricHelp("Normalised on", "Answers whose scores were given mean 0 and deviation 1."),
    "raw_mean": MetricHelp("Mean before that", "The mean of their scores before."),
    "raw_std": MetricHelp("Deviation before that", "The standard deviation of their scores before."),
    "heldout_pairs": MetricHelp("Held-out pairs", "Held-out comparisons with a better answer that were measured."),
    "heldout_ties": MetricHelp("Held-out ties", "Held-out comparisons that people called equal."),
    "labels": MetricHelp("Comparisons used", "Comparisons that the reward model was trained on, ties among them."),
    "accuracy_low": MetricHelp("Accuracy, at least", "Lower end of the 95 % interval of the held-out accuracy."),
    "accuracy_high": MetricHelp("Accuracy, at most", "Upper end of the 95 % interval of the held-out accuracy."),
    "tie_theta": MetricHelp("Tie threshold", "The theta of Rao and Kupper: how easily two answers are called equal."),
    "p99": MetricHelp("Best hundredth from", "One answer of the starting model in a hundred scores higher."),
}


def about_metric(name: str) -> MetricHelp:
    """What a metric or fact means; one that nobody described is called by its own name."""
    known = METRICS.get(name) or FACTS.get(name)
    if known is not None:
        return known
    words = name.rpartition("/")[2].replace("_", " ")
    for beginning, family in FAMILIES.items():
        if name.startswith(beginning):
            return replace(family, label=f"{family.label}: {words}")
    return MetricHelp(words[:1].upper() + words[1:] if words else name, "")
