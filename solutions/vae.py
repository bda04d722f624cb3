"""The variational autoencoder on one page: from the ELBO to samples in about a minute, on a laptop's processor.

    python solutions/vae.py

The model says that an image x is made in two steps: draw a code z from p(z) = N(0, I), then an image from p(x | z). How likely
the model finds an image, p(x) = ∫ p(x | z) p(z) dz, can't be computed: nearly every z has nothing to do with x. So let q(z | x)
say which codes do. Whatever q is, Jensen's inequality gives

    log p(x) ≥ E_q[log p(x | z)] − KL(q(z | x) || p(z)) = ELBO(x),

and what is missing is KL(q(z | x) || p(z | x)). Climbing the ELBO in p and q at once makes the images more likely, and q more exact.
(D. P. Kingma, M. Welling, Auto-Encoding Variational Bayes, 2013, arXiv:1312.6114. The lessons 01 to 07 take it step by step.)

N images x, of zeros and ones: (N, 1, 28, 28). D latent dimensions. logvar is log σ². All in nats per image.
"""

import argparse
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.utils import save_image

from vae_helpers import load_mnist


class VAE(nn.Module):
    """p(x | z), the decoder, and q(z | x), the encoder."""

    def __init__(self, latent_dim: int = 32):
        super().__init__()
        self.latent_dim = latent_dim
        self.encoder = nn.Sequential(  # x (N, 1, 28, 28)
            nn.Conv2d(1, 32, kernel_size=3, stride=2, padding=1),  # (N, 32, 14, 14)
            nn.ReLU(),
            nn.Conv2d(32, 64, kernel_size=3, stride=2, padding=1),  # (N, 64, 7, 7)
            nn.ReLU(),
            nn.Flatten(),  # (N, 3136)
            nn.Linear(64 * 7 * 7, 256),
            nn.ReLU(),
            nn.Linear(256, 2 * latent_dim),  # mu and logvar side by side, (N, 2 D)
        )
        self.decoder = nn.Sequential(  # z (N, D)
            nn.Linear(latent_dim, 256),
            nn.ReLU(),
            nn.Linear(256, 64 * 7 * 7),
            nn.ReLU(),
            nn.Unflatten(1, (64, 7, 7)),
            nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1, output_padding=1),  # 14 x 14
            nn.ReLU(),
            nn.ConvTranspose2d(32, 1, 3, stride=2, padding=1, output_padding=1),  # logits, 28 x 28
        )

    def elbo(self, x: Tensor) -> Tensor:
        """The bound on log p(x), with one draw of z for each image: (N, 1, 28, 28) -> (N,)."""
        mu, logvar = self.encoder(x).chunk(2, dim=1)  # q(z | x) = N(mu, exp(logvar)), (N, D) each
        eps = torch.randn_like(mu)  # all the chance there is, and no parameter in it,
        z = mu + (0.5 * logvar).exp() * eps  # so that gradients reach both
        logits = self.decoder(z)  # p(x | z): each pixel is 1 with probability sigmoid(logit)
        cost = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
        log_likelihood = -cost.sum(dim=(1, 2, 3))  # (N,)
        kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(dim=1)  # closed form, (N,)
        return log_likelihood - kl

    def sample(self, n: int) -> Tensor:
        """New images: a code from the prior, through the decoder. (n, 1, 28, 28) in [0, 1]."""
        return self.decoder(torch.randn(n, self.latent_dim)).sigmoid()


def train(vae: VAE, x_train: Tensor, x_test: Tensor, epochs: int, steps: int | None = None) -> None:
    """Climb the ELBO of x_train, at most `steps` steps an epoch, and print how far x_test has got."""
    optimizer = torch.optim.Adam(vae.parameters(), betas=(0.8, 0.95), fused=True)
    batches = len(range(0, len(x_train), 64)[:steps])
    steps = epochs * batches
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, steps, pct_start=0.35)
    start = time.perf_counter()
    for epoch in range(1, epochs + 1):
        for picked in torch.randperm(len(x_train)).split(64)[:batches]:
            loss = -vae.elbo(x_train[picked]).mean()  # the one mean over the batch
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            nats = -torch.cat([vae.elbo(x) for x in x_test.split(1000)]).mean()
        seconds = time.perf_counter() - start
        print(
            f"epoch {epoch}, {seconds:.0f} s: -ELBO of the test images {nats:.1f} nats", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Train a VAE on MNIST, and draw samples from it.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--epochs", type=int, default=2, help="passes over the 60,000 images")
    parser.add_argument("--steps", type=int, help="at most so many steps an epoch")
    parser.add_argument("--output", default="samples.png", help="where the samples go")
    args = parser.parse_args()
    if args.epochs < 1 or (args.steps is not None and args.steps < 1):
        parser.error("--epochs and --steps: at least 1 is needed")
    torch.manual_seed(0)
    x_train, _ = load_mnist("train", binarize="threshold")
    x_test, _ = load_mnist("test", binarize="threshold")
    vae = VAE()
    train(vae, x_train, x_test, args.epochs, args.steps)
    with torch.no_grad():
        save_image(vae.sample(100), args.output, nrow=10)
    print(f"100 samples: {args.output}")


if __name__ == "__main__":
    main()
